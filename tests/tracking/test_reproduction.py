"""The data of a run are found, and its results are compared with later ones."""

from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import pandas as pd
import pytest

from sentiment.errors import UserError
from tracking import reproduction
from tracking.record import RecordedRun
from tracking.reproduction import (
    Comparison,
    PredictionComparison,
    compare_predictions,
    describe_comparison,
)
from workflow import files
from workflow.files import md5

RUN = RecordedRun(
    run_id="a1",
    name="default",
    tags={"mlflow.source.git.commit": "0123"},
    diff="",
    params={"fetch": {"dataset": "table", "added_texts": "none.csv"}},
    lock={"stages": {"fetch": {"deps": [], "outs": [{"path": "data/fetch", "md5": "9.dir"}]}}},
    epochs=pd.DataFrame(),
    predictions=b"",
)
SAME = PredictionComparison(0.85, 0.85, 0.0)
EPOCHS = pd.DataFrame({"accuracy": [0.8], "loss": [0.4], "val_accuracy": [0.7], "val_loss": [0.5]})


def predictions(*probabilities: float) -> bytes:
    rows = [f"positive,{'positive' if p > 0.5 else 'negative'},{p}" for p in probabilities]
    return "\n".join(["actual,predicted,probability_positive", *rows]).encode()


def test_predictions_are_compared_by_accuracy_and_probability() -> None:
    found = compare_predictions(predictions(0.9, 0.2), predictions(0.7, 0.6))
    assert found == pytest.approx((0.5, 1.0, 0.4))


def write_results(clone: Path, probability: float) -> None:
    """Write what the stages leave in a clone."""
    for path in (files.HISTORY_FILE, files.PREDICTIONS_FILE):
        (clone / path).parent.mkdir(parents=True, exist_ok=True)
    EPOCHS.to_csv(clone / files.HISTORY_FILE, index=False)
    (clone / files.PREDICTIONS_FILE).write_bytes(predictions(probability))


def test_results_of_a_run_are_compared_with_those_of_a_clone(tmp_path: Path) -> None:
    write_results(tmp_path, 0.9)
    locked = {"path": "metrics/history.csv", "md5": md5(tmp_path / files.HISTORY_FILE)}
    run = RUN._replace(
        tags={"xla": "then", "keras": version("keras"), "mlflow.user": "alice"},
        lock={"stages": {"train": {"outs": [locked]}}},
        epochs=EPOCHS,
        predictions=predictions(0.9),
    )
    same = reproduction.compare(run, tmp_path)
    assert same.is_equal
    assert list(same.machine) == ["xla"]
    write_results(tmp_path, 0.8)
    different = reproduction.compare(run, tmp_path)
    assert [name for name, is_equal in different.equal.items() if not is_equal] == [
        "data/evaluate/predictions.csv"
    ]
    write_results(tmp_path, 0.9)
    (tmp_path / files.HISTORY_FILE).write_text(EPOCHS.assign(loss=0.1).to_csv(index=False))
    different = reproduction.compare(run, tmp_path)
    assert [name for name, is_equal in different.equal.items() if not is_equal] == [
        "metrics/history.csv",
        "metrics of each epoch",
    ]


def test_equal_results_are_said() -> None:
    text = describe_comparison(RUN, Comparison({"data/pad": True}, {"keras": ("3.1", "3.2")}, SAME))
    assert text.splitlines() == [
        "Run a1: default, commit 0123",
        "  data/pad                       equal",
        "  keras: 3.1 then, 3.2 now",
        "All results are the same, bit for bit.",
    ]


@pytest.mark.parametrize(
    ("names", "is_expected"),
    [
        (["processor"], True),
        (["processor", "xla"], True),
        (["processor", "keras"], False),
        ([], False),
    ],
)
def test_results_of_another_processor_are_expected_to_differ(
    names: list[str], is_expected: bool
) -> None:
    equal = {"data/fetch": True, "data/pad": True, "data/train": False}
    machine = dict.fromkeys(names, ("x", "y"))
    text = describe_comparison(
        RUN, Comparison(equal, machine, PredictionComparison(0.8472, 0.8521, 0.125))
    )
    assert "  data/train                     DIFFERS\n" in text
    assert (
        "Test accuracy 0.8472 then, 0.8521 now. The probabilities differ by at most 0.12." in text
    )
    assert ("This is expected" in text) == is_expected


@pytest.fixture
def clone(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a clone without the table that the working directory has, and without DVC."""
    monkeypatch.setattr(reproduction, "pull", lambda *_: False)
    (in_tmp_path / "new").mkdir()
    for name in ("new/own.csv", "none.csv"):
        (in_tmp_path / name).write_text(f"of {name}")
    (in_tmp_path / "clone").mkdir()
    return in_tmp_path / "clone"


def with_digests(own: str) -> RecordedRun:
    deps = [
        {"path": "new/own.csv", "md5": own},
        {"path": "none.csv", "md5": md5(Path("none.csv"))},
    ]
    return RUN._replace(lock={"stages": {"fetch": {"deps": deps, "outs": []}}})


def test_a_command_of_dvc_that_fails_is_named(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = CompletedProcess((), 255, stdout="", stderr="ERROR: configuration error\n")
    monkeypatch.setattr(reproduction, "run_dvc_in", lambda *_: failed)
    message = "dvc cache dir failed: ERROR: configuration error"
    with pytest.raises(UserError, match=message):
        reproduction.write_dvc_config(in_tmp_path)


def test_a_table_that_git_does_not_have_comes_from_the_folder(clone: Path) -> None:
    reproduction.copy_tables(with_digests(md5(Path("new/own.csv"))), clone)
    assert (clone / "new" / "own.csv").read_text() == "of new/own.csv"


def test_a_table_that_was_changed_since_is_not_taken(clone: Path) -> None:
    with pytest.raises(
        UserError, match=r"has data/fetch or new/own\.csv as they were, with the MD5"
    ):
        reproduction.copy_tables(with_digests("0" * 32), clone)


def test_the_digest_of_a_folder_is_the_one_in_dvc_lock(tmp_path: Path) -> None:
    """Compare with what DVC 3.67 wrote for the same files."""
    (tmp_path / "b").mkdir()
    (tmp_path / "a.txt").write_text("1")
    (tmp_path / "b" / "c.txt").write_text("2")
    assert reproduction.path_digest(tmp_path) == "f1ea74b4fbfc160797e939835066e899.dir"
