"""A run keeps the uncommitted changes of params and code."""

import json
from pathlib import Path

import mlflow
import pytest

from stages import train
from tests.conftest import Caller
from tests.project import Project

SECRET = "AKIAPLANTED"
HOLDING_SECRETS = (".env", ".dvc/config.local", "review.txt", "reviews.json", "reviews.csv~")


@pytest.mark.slow
def test_diff_has_changes_of_params_and_code_and_nothing_of_other_files(
    project: Project, call: Caller
) -> None:
    for name in (*HOLDING_SECRETS, "staged.txt"):
        (project.path / name).write_text(f"# {SECRET}\n", encoding="utf-8")
    project.run("git", "add", "staged.txt")
    with (project.path / ".dvc/config").open("a", encoding="utf-8") as config:
        config.write(f"['remote \"own\"']\n    url = s3://nowhere\n    access_key_id = {SECRET}\n")
    project.change(train={"units": 5, "epochs": 1})
    call(train.main)
    record = json.loads((project.path / "data/train/run.json").read_bytes())

    diff = record["uncommitted"]
    assert "-  units: 4" in diff
    uri = f"runs:/{project.run_id}/train/uncommitted.diff"
    logged = Path(mlflow.artifacts.download_artifacts(uri)).read_text(encoding="utf-8")
    assert logged == f"{diff}\n"
    kept = [
        path
        for place in ("mlflow.db*", "mlruns/**/*", "data/**/*", ".dvc/cache/**/*")
        for path in Path().glob(place)
    ]
    assert [path for path in kept if path.is_file() and SECRET.encode() in path.read_bytes()] == []
