"""`make sweep` searches on the texts of one's own as they are."""

import json
from pathlib import Path

from tests.extras.conftest import SWEEP_SETTINGS
from tests.own_texts import NAME, write_texts
from tests.project import Project

SWEEP = ("python", "-m", "extras.sweep", "--trials", "1", "--workers", "1", "--json")


def test_other_texts_are_another_sweep_once_they_are_fetched(
    own_texts: Project, tmp_path: Path
) -> None:
    project = own_texts.copy(tmp_path / "project")
    project.change(sweep=SWEEP_SETTINGS)
    project.commit()
    first = json.loads(project.read(*SWEEP))["run_id"]
    write_texts(project.path / NAME, seed=1)
    message = project.fail(*SWEEP)
    assert "data/fetch has other reviews than params.yaml: run `dvc repro fetch`" in message
    project.run("dvc", "repro", "fetch")
    assert json.loads(project.read(*SWEEP))["run_id"] != first
