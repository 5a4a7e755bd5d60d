"""What a run keeps of changes that are not committed."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.conftest import Sharer, stand_in
from tests.project import Project

SECRET = "AKIAPLANTED"
MODULE = "sentiment/data/another.py"
HOLDING_SECRETS = (".env", ".dvc/config.local", "review.txt", "reviews.json", "reviews.csv~")


def train_with_changes(project: Project) -> None:
    for name in (*HOLDING_SECRETS, "staged.txt"):
        (project.path / name).write_text(f"# {SECRET}\n", encoding="utf-8")
    project.run("git", "add", "staged.txt")
    with (project.path / ".dvc/config").open("a", encoding="utf-8") as config:
        config.write(f"['remote \"own\"']\n    url = s3://nowhere\n    access_key_id = {SECRET}\n")
    (project.path / "many").mkdir()
    for number in range(150):
        (project.path / "many" / f"{number:03}.py").touch()
    (project.path / MODULE).write_text("ANSWER = 42", encoding="utf-8")
    project.change(train={"units": 5, "epochs": 1})
    project.run("dvc", "repro", "train")


@pytest.fixture(scope="session")
def changed(finished: Project, shared: Sharer) -> Project:
    """A project that was trained with many files that are not committed."""
    return shared("changed", train_with_changes, finished.path)


@pytest.fixture
def record(changed: Project, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `run.json` says, and standing in the project."""
    stand_in(changed.path, monkeypatch)
    document: dict[str, Any] = json.loads((changed.path / "data/train/run.json").read_bytes())
    return document


def test_changes_of_params_and_new_modules_of_the_project_are_kept(record: dict[str, Any]) -> None:
    diff = record["uncommitted"]
    assert "-  units: 4" in diff
    assert f"+++ b/{MODULE}\n@@ -0,0 +1 @@\n+ANSWER = 42" in diff
    place = f"runs:/{record['run_id']}/train/uncommitted.diff"
    logged = Path(mlflow.artifacts.download_artifacts(place)).read_text(encoding="utf-8")
    assert logged == f"{diff}\n"


def test_of_no_other_file_the_content_is_kept(record: dict[str, Any], changed: Project) -> None:
    kept = [*changed.path.glob("mlflow.db*"), *changed.path.glob("mlruns/**/*")]
    kept += [*changed.path.glob("data/**/*"), *changed.path.glob(".dvc/cache/**/*")]
    assert record["uncommitted"]
    assert [path for path in kept if path.is_file() and SECRET.encode() in path.read_bytes()] == []


def test_of_many_untracked_files_the_first_names_and_the_number_are_kept(
    record: dict[str, Any],
) -> None:
    changes = record["tags"]["git.uncommitted_changes"].splitlines()
    number = 150 + 4  # the module and three texts; .env and config.local are ignored
    assert changes[0] == f"{number} untracked files, of which 100 are listed"
    assert changes[1:4] == [" M .dvc/config", " M params.yaml", "A  staged.txt"]
    assert changes[4] == "?? many/000.py"
    assert len(changes) == 1 + 3 + 100
