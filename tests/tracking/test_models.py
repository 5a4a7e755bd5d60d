"""A run logs two models, each of which is whole or is finished by the next call."""

from pathlib import Path

import mlflow
import pytest
from mlflow.entities import LoggedModel
from mlflow.models import Model

from tests.conftest import runs
from tests.project import ROOT
from tracking import models
from workflow import files
from workflow.files import EvaluateInputs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("project")]


def log_models() -> None:
    """Log the models that the newest run lacks."""
    inputs = files.read_inputs(files.EVALUATE_FOLDER, EvaluateInputs)
    metrics = files.read_json(files.TEST_METRICS_FILE)
    models.log_models(runs()[0], inputs, metrics, check=lambda: None)


def model(name: str) -> LoggedModel:
    """Return the one logged model of the newest run that has this name."""
    (found,) = (each for each in models.logged_models(runs()[0]) if each.name == name)
    return found


def folder(logged: LoggedModel) -> Path:
    """Return the folder that has the files of a logged model."""
    return Path(str(logged.artifact_location))


@pytest.mark.parametrize(
    "step", ["create_logged_model", "log_outputs", "log_model_artifacts", "finalize_logged_model"]
)
def test_what_a_killed_process_began_is_finished(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mlflow.MlflowClient()
    client.delete_logged_model(model(models.TEXT_MODEL).model_id)

    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, step, end)
        with pytest.raises(KeyboardInterrupt):
            log_models()
    begun = [each.model_id for each in models.logged_models(runs()[0]) if not models.is_whole(each)]
    log_models()
    finished = model(models.TEXT_MODEL)
    assert models.is_whole(finished)
    assert begun in ([], [finished.model_id])
    outputs = runs()[0].outputs
    assert outputs is not None
    linked = [output.model_id for output in outputs.model_outputs]
    assert linked.count(finished.model_id) == 1


def test_files_of_a_model_that_are_lost_are_written_again_and_no_other_file() -> None:
    logged = model(models.TEXT_MODEL)
    lost = folder(logged) / "artifacts" / "word_index.json"
    other = folder(model(models.KERAS_MODEL)) / "MLmodel"
    content = lost.read_bytes()
    written = other.stat().st_mtime_ns
    lost.unlink()
    log_models()
    assert lost.read_bytes() == content
    assert other.stat().st_mtime_ns == written


def test_the_pages_of_the_models_show_each_test_metric_once() -> None:
    expected = files.read_json(files.TEST_METRICS_FILE)
    for name in (models.KERAS_MODEL, models.TEXT_MODEL):
        points = model(name).metrics or []
        assert sorted(point.key for point in points) == sorted(expected)


@pytest.mark.parametrize(("tokenizer", "is_needed"), [("keras", False), ("unicode", True)])
def test_a_version_needs_the_packages_of_its_tokenizer(
    tokenizer: str, is_needed: bool, tmp_path: Path
) -> None:
    inputs = files.read_inputs(files.EVALUATE_FOLDER, EvaluateInputs)
    table = inputs.fetch.table.model_copy(update={"tokenizer": tokenizer})
    fetch = inputs.fetch.model_copy(update={"dataset": "table", "table": table})
    used = inputs.model_copy(update={"fetch": fetch})
    models.save_text_model(tmp_path / "model", Model(run_id="0" * 32), used)
    listed = (tmp_path / "model" / "requirements.txt").read_text(encoding="utf-8")
    assert ("regex==" in listed) is is_needed
    assert "tensorflow==" in listed


def test_a_version_pins_all_that_it_needs_as_the_lock_does() -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pins = models.serving_requirements()
    assert len(pins) > 50
    assert [pin for pin in pins if f"{pin} " not in lock] == []
    assert any(pin.startswith("sqlalchemy==") for pin in pins)  # which MLflow needs
