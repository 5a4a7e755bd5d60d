"""The pipeline of the linear models, run as a user does."""

from functools import partial
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from extras.baseline import __main__ as linear
from extras.baseline.fit import OPTIONS
from sentiment.serving.linear_classifier import LinearClassifier
from tests.conftest import Caller, own_copy, runs, stand_in
from tests.extras.conftest import answering_as_evaluated
from tests.project import Project
from workflow import files

REPRO = ("dvc", "repro", "extras/baseline/dvc.yaml")
FAILING = """
from extras.baseline import __main__ as linear
from workflow import tracking

def fail(*_):
    raise OSError("no space")

tracking.log_files = fail
linear.main("tfidf")
"""


@pytest.fixture(autouse=True)
def standing(fitted: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """That project as the working directory; tests leave it as it is."""
    stand_in(fitted.path, monkeypatch)


@pytest.fixture
def own(fitted: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project of one's own, as the working directory."""
    return own_copy(fitted, tmp_path, monkeypatch)


def run_of(kind: str) -> Run:
    (fitted,) = (run for run in runs() if run.data.params.get("linear.kind") == kind)
    return fitted


def test_both_are_fitted_by_one_command_and_then_up_to_date(fitted: Project) -> None:
    output = fitted.path.with_name("output").read_text(encoding="utf-8")
    assert output.count("Test Accuracy: 0.") == 2
    assert "Data and pipelines are up to date" in fitted.read(*REPRO)


@pytest.mark.parametrize("kind", linear.FITS)
def test_a_run_has_the_metrics_of_a_training_all_files_and_a_model_that_answers_texts(
    kind: str,
) -> None:
    folder, run = linear.FOLDER / kind, run_of(kind)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"linear {kind.replace('_', ' ')} · synthetic"
    metrics = files.read_json(folder / "metrics.json")
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"] > 0.6
    row = pd.read_csv(folder / "history.csv").iloc[0]
    for name in ("accuracy", "loss", "val_accuracy", "val_loss", "seconds"):
        assert run.data.metrics[name] == pytest.approx(row[name])
    logged = mlflow.MlflowClient().list_artifacts(run.info.run_id, "evaluate")
    assert {file.path for file in logged} == {f"evaluate/{path.name}" for path in folder.iterdir()}
    assert run.inputs
    assert run.outputs
    assert len(run.outputs.model_outputs) == 1
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["synthetic-test"]
    model = answering_as_evaluated(run.info.run_id)
    assert type(model.classifier).__name__ == LinearClassifier.__name__


def test_a_run_whose_store_failed_is_made_again_by_the_next_call_to_the_same_bits(
    fitted: Project, own: Project, call: Caller
) -> None:
    before = {run.info.run_id for run in runs()}
    (own.path / "failing.py").write_text(FAILING, encoding="utf-8")
    assert "no space" in own.fail("python", "-m", "failing")
    call(partial(linear.main, "tfidf"))
    new, failed = [run for run in runs() if run.info.run_id not in before]
    assert (new.info.status, failed.info.status) == ("FINISHED", "FAILED")
    assert new.data.tags["outputs.evaluate"]
    for name in ("model.npz", "probabilities.npy", "predictions.csv", "roc.png"):
        path = linear.FOLDER / "tfidf" / name
        assert (own.path / path).read_bytes() == (fitted.path / path).read_bytes(), path


def test_a_failure_is_one_message_and_leaves_what_was_there(own: Project) -> None:
    """Also where DVC is called in the capability's own folder."""
    before = own.contents("data/linear")
    own.change(linear={"min_reviews": 1000})
    output = Project(own.path / "extras" / "baseline").fail("dvc", "repro")
    assert f"linear@tfidf: {OPTIONS}: min_reviews: no word is in 1000 of the 256 reviews." in output
    assert "Traceback" not in output
    assert own.contents("data/linear") == before
