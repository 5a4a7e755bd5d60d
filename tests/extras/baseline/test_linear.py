"""The pipeline of the linear models, run as a user does."""

import mlflow
import pytest

from extras.baseline import __main__ as linear
from sentiment.serving.linear_classifier import LinearClassifier
from tests.conftest import runs
from tests.extras.conftest import answering_as_evaluated
from tests.project import Project
from workflow import files

pytestmark = pytest.mark.slow


def test_a_run_has_metrics_files_and_a_model_that_answers_texts(project: Project) -> None:
    output = project.run("dvc", "repro", f"{linear.DECLARED}:{linear.STAGE}@tfidf")
    assert output.count("Test Accuracy: 0.") == 1
    folder = linear.FOLDER / "tfidf"
    (run,) = (run for run in runs() if run.data.params.get("linear.kind") == "tfidf")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "linear tfidf · synthetic")
    metrics = files.read_json(folder / "metrics.json")
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"] > 0.6
    logged = mlflow.MlflowClient().list_artifacts(run.info.run_id, "evaluate")
    assert {file.path for file in logged} == {f"evaluate/{path.name}" for path in folder.iterdir()}
    model = answering_as_evaluated(run.info.run_id)
    assert type(model.classifier).__name__ == LinearClassifier.__name__
