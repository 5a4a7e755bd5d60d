"""A run has tags and a name about its provenance."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sentiment.data.params import describe_dataset
from tests.project import TRANSFORMER, Project
from workflow import provenance
from workflow.params import Params
from workflow.params_file import with_changes
from workflow.provenance import run_name, short_digest_of

SECRET = "AKIAPLANTED"
HOLDING_SECRETS = (".env", ".dvc/config.local", "review.txt", "reviews.json", "reviews.csv~")
CPU_INFO = "processor\t: 0\nmodel name\t: Example CPU\nflags\t\t: fpu avx2\n"


def test_machine_tags_have_versions_processor_and_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(CPU_INFO, encoding="utf-8")
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "cpuinfo")
    tags = provenance.machine_tags()
    assert int(tags["processor.cores"]) > 0
    assert tags["processor.name"] == "Example CPU"
    for package in ("tensorflow", "keras", "numpy", "scipy", "scikit-learn"):
        assert tags[f"{package}.version"] == version(package)


def test_processor_without_a_name_is_called_after_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "CPU_INFO", tmp_path / "absent")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert provenance.machine_tags()["processor.name"] == "arm64"


def test_dvc_experiment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "bold-move")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    tags = provenance.provenance_tags()
    assert tags["dvc.experiment"] == "bold-move"
    assert tags["dvc.baseline"] == "abc"


def test_short_digest_changes_with_each_value_but_not_with_their_order() -> None:
    document = {"params": {"units": 4}, "data": "a", "code": "b", "machine": "c"}
    changed = [{**document, name: "other"} for name in document]
    assert len({short_digest_of(other) for other in [document, *changed]}) == 5
    assert short_digest_of(dict(reversed(document.items()))) == short_digest_of(document)


def test_run_is_named_after_model_length_and_seed(default_params: Params) -> None:
    dataset = describe_dataset(default_params.fetch)
    name = run_name(default_params.train, default_params.pad, dataset)
    assert name == "lstm-64 · len 200 · seed 42"


def test_name_of_a_run_has_the_architecture_the_dataset_and_the_experiment(
    default_params: Params,
) -> None:
    changes = {f"train.{name}": value for name, value in TRANSFORMER.items()}
    changes["fetch.dataset"] = "synthetic"
    params = with_changes(default_params, changes)
    dataset = describe_dataset(params.fetch)
    name = run_name(params.train, params.pad, dataset, "bold-move")
    assert name == "transformer-64 · len 200 · seed 42 · synthetic · bold-move"


def test_name_of_a_run_may_leave_out_the_seed(default_params: Params) -> None:
    dataset = describe_dataset(default_params.fetch)
    name = run_name(default_params.train, default_params.pad, dataset, with_seed=False)
    assert name == "lstm-64 · len 200"


def test_name_of_a_run_says_whether_it_reads_both_ways(default_params: Params) -> None:
    params = with_changes(default_params, {"train.bidirectional": True})
    dataset = describe_dataset(params.fetch)
    assert run_name(params.train, params.pad, dataset).startswith("bi-lstm-64 · ")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train.architecture": "linear"}, "linear · len 200 · seed 42"),
        ({"train.linear.share": 0.5}, "lstm-64 + linear · len 200 · seed 42"),
    ],
)
def test_name_of_a_run_says_what_is_linear(
    changes: dict[str, Any], expected: str, default_params: Params
) -> None:
    params = with_changes(default_params, changes)
    dataset = describe_dataset(params.fetch)
    assert run_name(params.train, params.pad, dataset) == expected


@pytest.mark.slow
def test_diff_has_changes_of_params_and_code_and_nothing_of_other_files(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.path)
    for name in (*HOLDING_SECRETS, "staged.txt"):
        (fresh.path / name).write_text(f"# {SECRET}\n", encoding="utf-8")
    fresh.run("git", "add", "staged.txt")
    with (fresh.path / ".dvc/config").open("a", encoding="utf-8") as config:
        config.write(f"['remote \"own\"']\n    url = s3://nowhere\n    access_key_id = {SECRET}\n")
    fresh.change(train={"units": 5})
    with (fresh.path / "stages/train.py").open("a", encoding="utf-8") as code:
        code.write("# a comment\n")
    diff = provenance.uncommitted_diff()
    assert "-  units: 4" in diff
    assert "+# a comment" in diff
    assert SECRET not in diff
    assert SECRET not in str(provenance.provenance_tags())


def test_long_diff_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "git", lambda *_: "-before\n+after")
    assert provenance.uncommitted_diff() == "-before\n+after"
    monkeypatch.setattr(provenance, "MAX_DIFF_BYTES", 7)
    assert provenance.uncommitted_diff() == "-before\n[cut after 7 bytes]\n"


def test_diff_shows_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "git", lambda *_: "+url: https://ann:secret@h/a.csv")
    assert provenance.uncommitted_diff() == "+url: https://h/a.csv"
