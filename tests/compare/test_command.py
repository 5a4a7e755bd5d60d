"""`sentiment compare` groups runs by what they have in common, compares two, and only reads."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import mlflow
import pytest

from tests.conftest import Command
from tests.evaluations import evaluation, register
from tests.small_project import ROOT

pytestmark = pytest.mark.slow

GROUPS = {  # tags
    "a": {"repetition_key": "a", "processor": "Zen 4", "test_set_digest": "0123"},
    "b": {"repetition_key": "b", "processor": "Zen 4", "test_set_digest": "0123"},
}


@pytest.fixture(autouse=True)
def store(empty_store: Path) -> Path:
    """Make the folder of a project with an empty store the working directory."""
    shutil.copy2(ROOT / "params.yaml", empty_store)
    return empty_store


def log_run(
    correct: int,
    seed: int = 42,
    params: Mapping[str, str] = {"train.units": "4"},
    tags: Mapping[str, str] = GROUPS["a"],
) -> str:
    """Log an evaluated run that is right about `correct` of 600 reviews, and return its id."""
    version = register(evaluation(correct, test_set_digest=tags["test_set_digest"]))
    with mlflow.start_run(str(version.run_id)) as run:
        mlflow.log_params({**params, "train.seed": seed})
        values = {"test_accuracy": correct / 600, "val_accuracy_kept": 0.75, "test_f1": 0.5}
        mlflow.log_metrics(values)
        mlflow.set_tags({**tags, "evaluation_digest": "whole"})
        name = " · ".join(f"{key} {value}" for key, value in params.items())
        mlflow.set_tag("mlflow.runName", f"{name} · seed {seed}")
    return str(run.info.run_id)


def rows(printed: str) -> list[list[str]]:
    """Return the words of each line."""
    return [line.split() for line in printed.splitlines()]


def test_seeds_are_summarized_for_each_set_of_params_the_best_first(sentiment: Command) -> None:
    for seed, correct in ((42, 474), (43, 480), (44, 486)):
        log_run(correct, seed)
    other = log_run(540, params={"train.units": "8"}, tags=GROUPS["b"])
    printed = sentiment("compare")
    best, second = rows(printed)[1:3]
    assert best == ["train.units", "8", "1", "0.9000", "–", "–", "0.7500", other[:8]]
    assert second[2:-1] == ["3", "0.8000", "0.0100", "0.7752", "to", "0.8248", "0.7500"]
    assert "dvc exp run --temp -S train.seed=43" in printed


@pytest.mark.parametrize(
    "change",
    [{"repetition_key": "b"}, {"processor": "Zen 5"}, {"tensorflow": "3.0"}, {"xla": "AVX2"}],
)
def test_runs_with_other_code_data_packages_or_processor_are_another_group(
    change: dict[str, str], sentiment: Command
) -> None:
    log_run(480, 42)
    log_run(486, 43, tags={**GROUPS["a"], **change})
    printed = sentiment("compare")
    assert [row[2] for row in rows(printed)[1:3]] == ["1", "1"]
    assert "Groups of the same name differ in other params, code, data" in printed


def test_a_seed_that_was_trained_twice_counts_once(sentiment: Command) -> None:
    log_run(480, 42)
    log_run(480, 42)
    log_run(486, 43)
    assert rows(sentiment("compare"))[1][2] == "2"


def test_groups_of_different_test_sets_are_different_tables(sentiment: Command) -> None:
    log_run(480)
    log_run(540, tags={**GROUPS["b"], "test_set_digest": "4567"})
    printed = sentiment("compare")
    assert printed.index("Test set 4567:") < printed.index("0.9000")
    assert printed.index("Test set 0123:") < printed.index("0.8000")


def test_two_runs_are_compared_as_models_and_by_their_seeds(sentiment: Command) -> None:
    for seed, correct in ((42, 474), (43, 480), (44, 486)):
        log_run(correct, seed)
    for seed, correct in ((42, 510), (43, 516), (44, 534)):
        run_id = log_run(correct, seed, {"train.units": "8"}, GROUPS["b"])
    printed = sentiment("compare", "models:/imdb-sentiment/1", run_id[:12])
    assert "These two models: B is more accurate. B − A is +10.00 percentage points" in printed
    assert "of accuracy on 600 reviews" in printed
    assert "Their params: B is more accurate. B − A is +6.67 percentage points" in printed
    assert "of mean accuracy over 3 and 3 seeds" in printed
    assert ["train.units", "4", "8"] in rows(printed)
    assert ["test_accuracy", "0.7900", "0.8900", "+0.1000"] in rows(printed)


def test_a_difference_that_may_be_chance_is_not_called_one(sentiment: Command) -> None:
    a, b = log_run(480), log_run(483, params={"train.units": "8"}, tags=GROUPS["b"])
    printed = sentiment("compare", a, b)
    assert "These two models: no difference is shown. B − A is +0.50" in printed
    assert "Their params have 1 and 1 seeds. To compare them, train two of each" in printed


def test_two_seeds_are_not_compared_as_params(sentiment: Command) -> None:
    a, b = log_run(480, 42), log_run(483, 43)
    assert "Their params are the same" in sentiment("compare", a, b)


def test_uncommitted_changes_are_said_if_no_param_differs(sentiment: Command) -> None:
    a, b = log_run(480), log_run(483, tags=GROUPS["b"])
    assert "No other param differs, but code or data does." in sentiment("compare", a, b)


def test_comparison_only_reads_the_store(store: Path, sentiment: Command) -> None:
    a, b = log_run(480), log_run(540)
    lock = store / "mlflow.db.lock"  # who writes to the store's experiments takes it
    lock.unlink()
    database = (store / "mlflow.db").read_bytes()
    sentiment("compare")
    sentiment("compare", a, b)
    assert not lock.exists()
    assert (store / "mlflow.db").read_bytes() == database


def test_runs_that_cannot_be_compared_are_refused(sentiment: Command) -> None:
    a = log_run(480)
    b = log_run(480, tags={**GROUPS["b"], "test_set_digest": "4567"})
    with mlflow.start_run() as unevaluated:
        pass
    message = sentiment.fail("compare", a, b)
    assert "were evaluated on different test sets. Name runs of the same dataset." in message
    assert "is named twice" in sentiment.fail("compare", a, a)
    assert "There is no champion of imdb-sentiment." in sentiment.fail("compare", a, "champion")
    for name in (unevaluated.info.run_id, "HEAD~1"):
        assert "no finished run with an evaluation" in sentiment.fail("compare", a, name)
    assert "2 ids of runs begin with it" in sentiment.fail("compare", a, "")


def test_a_store_without_evaluated_runs_is_one_message(sentiment: Command) -> None:
    assert "has no finished run with an evaluation." in sentiment.fail("compare")


def test_more_than_two_runs_are_left_to_mlflow(sentiment: Command) -> None:
    assert "select them in MLflow, and press Compare" in sentiment("compare", *"abc", status=2)
