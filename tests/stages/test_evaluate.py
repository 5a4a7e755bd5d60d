"""The stage `evaluate` refuses another training, says its result, and guards texts."""

import pytest

from sentiment.errors import UserError
from sentiment.project import paths
from sentiment.project.documents import read_json
from sentiment.tracking import store
from tests.conftest import run_stages, runs
from tests.small_project import ProjectCopy

pytestmark = pytest.mark.slow
NO_STORE = "sqlite:////absent/mlflow.db"


def test_the_model_of_other_params_is_not_evaluated(project: ProjectCopy) -> None:
    before = project.contents("data")
    project.change(train={"units": 5})
    with pytest.raises(UserError, match="data/train has another training"):
        run_stages(project, "evaluate")
    assert project.contents("data") == before


def test_the_result_the_decision_the_run_and_where_to_look_are_said_once(
    project: ProjectCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = runs()
    run_stages(project, "evaluate")
    accuracy, decision, *where = capsys.readouterr().out.splitlines()
    assert accuracy == f"Test Accuracy: {run.data.metrics['test_accuracy']:.4f}"
    assert decision.startswith(
        "Version 1 of synthetic-sentiment was promoted: there was no champion before"
    )
    pages = store.describe_pages(run.info.experiment_id, run.info.run_id)
    assert where == [f"Run {run.info.run_id}: {run.info.run_name}", *pages.splitlines()]


def test_without_a_store_the_result_is_said_and_how_to_log_it_later(
    project: ProjectCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    run_stages(project, "evaluate", store=NO_STORE)
    printed = capsys.readouterr()
    accuracy = read_json(paths.TEST_METRICS_FILE)["test_accuracy"]
    assert printed.out == f"Test Accuracy: {accuracy:.4f}\n"
    assert printed.err.startswith("data/ is complete but not logged to MLflow. ")
    assert printed.err.count("`sentiment sync`") == 1
