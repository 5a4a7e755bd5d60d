"""A run has two models, of which the one of raw texts brings all that it needs."""

import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import LoggedModel
from sentiment.project.manifest import EvaluateManifest, read_manifest
from sentiment.tracking.versions import read_predictions, version_uri

from sentiment.project import paths
from sentiment.project.documents import read_json
from sentiment.tracking import models
from tests.conftest import runs, versions
from tests.small_project import ROOT

pytestmark = pytest.mark.slow


def logged_model(name: str) -> LoggedModel:
    """Return the newest logged model that has this name."""
    experiment_id = runs()[0].info.experiment_id
    return mlflow.MlflowClient().search_logged_models([experiment_id], f"name = '{name}'")[0]


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("name", [models.KERAS_MODEL, models.TEXT_MODEL])
def test_the_page_of_a_model_shows_the_params_and_each_test_metric_once(name: str) -> None:
    (run,) = runs()
    model = logged_model(name)
    metrics = read_json(paths.TEST_METRICS_FILE)
    points = [(point.key, point.value) for point in model.metrics or []]
    assert sorted(point for point in points if point[0] in metrics) == sorted(metrics.items())
    assert model.params == run.data.params


@pytest.mark.usefixtures("finished")
def test_a_version_takes_a_column_of_texts_and_returns_labels_with_probabilities() -> None:
    signature = mlflow.models.get_model_info(version_uri(versions()[0])).signature
    assert signature.inputs.input_names() == ["text"]
    assert signature.outputs.input_names() == ["label", "probability", "probabilities"]


@pytest.mark.usefixtures("finished")
@pytest.mark.parametrize("name", [models.KERAS_MODEL, models.TEXT_MODEL])
def test_no_file_of_a_model_is_a_pickle(name: str) -> None:
    folder = Path(str(logged_model(name).artifact_location))
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert folder / "MLmodel" in contents
    assert [path for path, content in contents.items() if content.startswith(b"\x80")] == []


@pytest.mark.usefixtures("finished")
def test_a_version_predicts_to_the_bit_where_the_package_of_the_project_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mistakes = pd.read_csv(paths.EVALUATE_FOLDER / "mistakes.csv")
    expected = read_predictions(paths.PREDICTIONS_FILE).set_index("review").loc[mistakes["review"]]
    for name in ("sentiment",):
        for module in [each for each in sys.modules if f"{each}.".startswith(f"{name}.")]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    loaded = mlflow.pyfunc.load_model(version_uri(versions()[0]))
    table = loaded.predict(pd.DataFrame({"text": mistakes["text"]}))
    for label in ("negative", "positive"):
        served = np.array([row[label] for row in table["probabilities"]], np.float32)
        assert np.array_equal(served, expected[f"probability_{label}"])


def requirements(model: LoggedModel) -> list[str]:
    path = Path(str(model.artifact_location), "requirements.txt")
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.usefixtures("finished")
def test_a_version_needs_the_tensorflow_of_every_platform_and_no_package_of_another_tokenizer() -> (
    None
):
    names = {line.partition("==")[0] for line in requirements(logged_model(models.TEXT_MODEL))}
    assert names >= {"tensorflow", "keras", "numpy", "pandas", "mlflow"}
    assert names.isdisjoint({"tensorflow-cpu", "regex"})


@pytest.mark.usefixtures("project")
def test_a_version_of_the_unicode_tokenizer_needs_its_package() -> None:
    manifest = read_manifest(paths.EVALUATE_FOLDER, EvaluateManifest)
    table = manifest.fetch.table.model_copy(update={"tokenizer": "unicode"})
    fetch = manifest.fetch.model_copy(update={"dataset": "table", "table": table})
    with mlflow.start_run(experiment_id=runs()[0].info.experiment_id) as run:
        models.log_text_model(run.info.run_id, manifest.model_copy(update={"fetch": fetch}))
    assert any(line.startswith("regex==") for line in requirements(logged_model(models.TEXT_MODEL)))


def test_a_version_pins_all_that_it_needs_as_the_lock_does() -> None:
    lock = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    pins = models.serving_requirements()
    assert len(pins) > 50
    assert [pin for pin in pins if f"{pin} " not in lock] == []
    assert any(pin.startswith("sqlalchemy==") for pin in pins)  # which MLflow needs
