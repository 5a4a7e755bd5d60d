"""A run has tags, a diff and a name that say where it comes from."""

from pathlib import Path
from typing import Any

import pytest

from sentiment.params import FetchParams, PadParams, TrainParams
from tests.project import Project
from workflow import provenance
from workflow.provenance import run_name

SECRET = "AKIAPLANTED"
HOLDING_SECRETS = (".env", ".dvc/config.local", "review.txt", "reviews.json", "reviews.csv~")


def name(pad: PadParams | None = None, **train: Any) -> str:
    return run_name(FetchParams(), pad or PadParams(), TrainParams(**train))


def test_the_default_run_is_named_after_its_model() -> None:
    assert name() == "lstm-64"


def test_what_differs_from_the_defaults_comes_first() -> None:
    assert name(epochs=60) == "epochs 60 · lstm-64"
    assert name(units=32) == "lstm-32"
    assert name(cell="gru", bidirectional=True, seed=1) == "bi-gru-64 · seed 1"


def test_params_that_the_architecture_does_not_read_are_not_named() -> None:
    assert name(architecture="linear", cell="gru", epochs=3) == "linear · epochs 3"


def test_added_texts_are_named() -> None:
    fetch = FetchParams(added_texts="texts/labeled")
    assert run_name(fetch, PadParams(), TrainParams()) == "+labeled · lstm-64"


def test_a_long_name_is_cut() -> None:
    changes: dict[str, Any] = {"epochs": 1, "batch_size": 2, "seed": 3, "patience": 4}
    assert name(PadParams(max_length=40, num_words=500), **changes) == (
        "num_words 500 · max_length 40 · epochs 1 · batch_size 2 · 2 more · lstm-64"
    )


def test_a_run_names_its_dvc_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "bold-move")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    tags = provenance.provenance_tags()
    assert tags["dvc.experiment"] == "bold-move"
    assert tags["dvc.baseline"] == "abc"


def test_tags_do_not_show_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{SECRET}@host")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", SECRET)
    assert SECRET not in str(provenance.provenance_tags())


def test_a_folder_without_git_has_no_commit_and_no_diff(in_tmp_path: Path) -> None:
    assert provenance.provenance_tags()["git.commit"] == "none"
    assert provenance.uncommitted_diff() == ""
    assert list(in_tmp_path.iterdir()) == []


@pytest.fixture
def repository(in_tmp_path: Path) -> Project:
    """Return a repository with a module and files that may hold secrets."""
    project = Project(in_tmp_path)
    for path in ("code.py", "params.yaml", *HOLDING_SECRETS):
        (in_tmp_path / path).parent.mkdir(exist_ok=True)
        (in_tmp_path / path).write_text("before\n", encoding="utf-8")
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all", "--force")
    project.run("git", "commit", "--quiet", "--message", "state")
    return project


def test_the_diff_has_changes_of_code_and_params_but_no_secret(repository: Project) -> None:
    for path in HOLDING_SECRETS:
        (repository.path / path).write_text(SECRET, encoding="utf-8")
    (repository.path / "code.py").write_text("url = 'http://ann:word@host'\n", encoding="utf-8")
    (repository.path / "params.yaml").write_text("units: 32\n", encoding="utf-8")
    diff = provenance.uncommitted_diff()
    assert "+units: 32" in diff
    assert "+url = 'http://host'" in diff
    assert SECRET not in diff


def test_a_long_diff_is_cut_and_says_so(
    repository: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "MAX_DIFF_BYTES", 100)
    (repository.path / "code.py").write_text("x = 1\n" * 1000, encoding="utf-8")
    assert provenance.uncommitted_diff().endswith("[cut after 100 bytes]\n")
