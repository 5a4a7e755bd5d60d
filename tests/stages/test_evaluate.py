"""The stage `evaluate` refuses files that do not belong together, and says its result."""

import pandas as pd
import pytest

from sentiment.errors import UserError
from sentiment.tracking import results, store
from sentiment.tracking.store import StoreError
from tests.logged import runs
from tests.small_project import ProjectCopy, run_stages

pytestmark = pytest.mark.slow


def test_the_result_and_the_run_are_said_at_the_end(
    project: ProjectCopy, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = runs()
    run_stages(project, "evaluate")
    accuracy = f"Test Accuracy: {run.data.metrics['test_accuracy']:.4f}"
    _, found, where = capsys.readouterr().out.partition(f"{accuracy}\n")
    assert found
    pages = store.describe_pages("", run.info.experiment_id, run.info.run_id)
    assert where.splitlines() == [
        f"Run {run.info.run_id}: {run.info.run_name}",
        *pages.splitlines(),
        # With the run, because an experiment may run in a copy of the project.
        f"To propose its model as champion: sentiment promote {run.info.run_id[:8]}",
    ]


def test_without_a_store_the_stage_fails_with_one_message(project: ProjectCopy) -> None:
    with pytest.raises(StoreError, match="There is no folder /absent for the MLflow store"):
        run_stages(project, "evaluate", store="sqlite:////absent/mlflow.db")


def test_a_store_that_fails_while_results_are_logged_costs_nothing(
    project: ProjectCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (before,) = runs()

    def fail(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'boto3'")

    with monkeypatch.context() as patch:
        patch.setattr(results, "log_evaluation", fail)
        with pytest.raises(StoreError, match="boto3"):
            run_stages(project, "evaluate")
    run_stages(project, "evaluate")
    (after,) = runs()
    assert after.data.metrics == before.data.metrics


def test_another_model_than_that_of_the_run_is_not_evaluated(project: ProjectCopy) -> None:
    before = project.contents("data/evaluate")
    model = project.path / "data" / "train" / "model.keras"
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"data/train is not the one that run .* trained with"):
        run_stages(project, "evaluate")
    assert project.contents("data/evaluate") == before


def test_a_dataset_that_was_fetched_again_is_not_evaluated(project: ProjectCopy) -> None:
    project.change(fetch={"synthetic": {"seed": 5}})
    run_stages(project, "fetch")
    with pytest.raises(UserError, match=r"data/pad was made from another data/fetch"):
        run_stages(project, "evaluate")


def test_texts_are_left_out_of_mistakes_on_request(project: ProjectCopy) -> None:
    mistakes = project.path / "data" / "evaluate" / "mistakes.csv"
    assert "text" in pd.read_csv(mistakes)
    project.change(evaluate={"log_texts": False})
    run_stages(project, "evaluate")
    assert "text" not in pd.read_csv(mistakes)
    assert len(runs()) == 1
