"""`make sweep` searches on the texts of one's own; test_secrets.py lets it train on them."""

from pathlib import Path

import pytest

from extras.sweep import __main__ as sweep
from tests.conftest import Caller, runs, stand_in
from tests.own_texts import NAME, write_texts
from tests.project import Project


def test_other_texts_are_another_sweep_once_they_are_fetched(
    own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Caller
) -> None:
    project = own_texts.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    assert "no finished sweep" in call.fail(sweep.main, "--apply")
    write_texts(project.path / NAME, seed=1)
    message = call.fail(sweep.main)
    assert "data/fetch has other reviews than params.yaml: run `dvc repro fetch`" in message
    project.run("dvc", "repro", "fetch")
    assert "no finished sweep" in call.fail(sweep.main, "--apply")
    assert len({run.data.tags["sweep.key"] for run in runs() if "sweep.key" in run.data.tags}) == 2
