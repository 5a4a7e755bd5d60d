"""Bad input gets one clear message, and nothing is lost or given away."""

import pytest

from tests.contract import names
from tests.project import Project

pytestmark = pytest.mark.slow


def test_wrong_params_are_one_message_and_nothing_is_removed(project: Project) -> None:
    before = project.contents("data")
    project.change(train={"units": -1, "unitz": 4}, pad={"padding": "left"})
    output = project.fail(*names.REPRO)
    for name in ("train.units", "train.unitz", "pad.padding"):
        assert name in output
    assert "Traceback" not in output
    assert project.contents("data") == before


def test_a_missing_table_is_one_message(project: Project) -> None:
    table = {"train": "missing.csv", "test": "missing.csv"}
    project.change(fetch={"dataset": "table", "table": table})
    output = project.fail(*names.REPRO)
    assert "missing.csv" in output
    assert "Traceback" not in output


def test_a_password_in_a_url_is_not_printed(project: Project) -> None:
    uri = "http://user:secret-password@127.0.0.1:9"
    output = project.fail(*names.SYNC, MLFLOW_TRACKING_URI=uri)
    assert "127.0.0.1:9" in output
    assert "secret-password" not in output
    assert "Traceback" not in output
