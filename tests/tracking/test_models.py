"""A run has one model, which predicts raw texts and brings all that it needs."""

import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import LoggedModel

from sentiment.errors import UserError
from sentiment.project.files.documents import read_json
from sentiment.project.files.paths import Project
from sentiment.text.model_files import MODEL_FILES
from sentiment.tracking import loading, models
from sentiment.tracking.evaluations import read_predictions
from tests.logged import runs

pytestmark = pytest.mark.slow


def logged_model() -> LoggedModel:
    """Return the newest model."""
    (model, *_) = mlflow.MlflowClient().search_logged_models([runs()[0].info.experiment_id])
    return model


@pytest.mark.usefixtures("finished")
def test_the_page_of_a_model_shows_the_params_and_each_test_metric_once() -> None:
    (run,) = runs()
    model = logged_model()
    metrics = read_json(Project.here().evaluated / "metrics.json")
    points = [(point.key, point.value) for point in model.metrics or []]
    assert sorted(point for point in points if point[0] in metrics) == sorted(metrics.items())
    assert model.params == run.data.params


@pytest.mark.usefixtures("finished")
def test_a_model_takes_a_column_of_texts_and_returns_labels_with_probabilities() -> None:
    signature = mlflow.models.get_model_info(logged_model().model_uri).signature
    assert signature.inputs.input_names() == ["text"]
    assert signature.outputs.input_names() == ["label", "probability", "probabilities"]


@pytest.mark.usefixtures("finished")
def test_the_files_of_the_training_are_among_those_of_the_model() -> None:
    folder = Path(str(logged_model().artifact_location), "artifacts")
    for name in MODEL_FILES:
        assert (folder / name).read_bytes() == (Project.here().trained / name).read_bytes()


@pytest.mark.usefixtures("finished")
def test_no_file_of_a_model_is_a_pickle() -> None:
    folder = Path(str(logged_model().artifact_location))
    contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert folder / "MLmodel" in contents
    assert [path for path, content in contents.items() if content.startswith(b"\x80")] == []


@pytest.mark.usefixtures("finished")
def test_a_model_predicts_to_the_bit_where_the_package_of_the_project_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluated = Project.here().evaluated
    mistakes = pd.read_csv(evaluated / "mistakes.csv")
    predictions = read_predictions(evaluated / "predictions.csv")
    expected = predictions.set_index("row").loc[mistakes["row"]]
    for module in [each for each in sys.modules if f"{each}.".startswith("sentiment.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "sentiment", None)  # importing it fails
    loaded = mlflow.pyfunc.load_model(logged_model().model_uri)
    table = loaded.predict(pd.DataFrame({"text": mistakes["text"]}))
    for label in ("negative", "positive"):
        served = np.array([row[label] for row in table["probabilities"]], np.float32)
        assert np.array_equal(served, expected[f"probability_{label}"])


@pytest.mark.usefixtures("finished")
def test_the_model_in_data_predicts_as_the_logged_one() -> None:
    text = "A fine plot, and an awful end."
    own = loading.load_own_model(Project.here(), threshold=0.5)
    logged = loading.load_model(logged_model().model_uri)
    assert own.predict_texts([text])[0] == logged.predict_texts([text])[0]


@pytest.mark.usefixtures("in_tmp_path")
def test_without_a_training_there_is_one_message() -> None:
    with pytest.raises(UserError, match=r"data/train/config\.json is missing\. `dvc repro`"):
        loading.load_own_model(Project.here(), threshold=0.5)


def requirements(model: LoggedModel) -> list[str]:
    path = Path(str(model.artifact_location), "requirements.txt")
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.usefixtures("finished")
def test_a_model_needs_the_tensorflow_of_every_platform() -> None:
    names = {line.partition("==")[0] for line in requirements(logged_model())}
    assert "tensorflow" in names
    assert names.isdisjoint({"tensorflow-cpu", "regex"})


@pytest.mark.usefixtures("finished")
def test_a_model_has_the_installed_versions_of_the_packages_in_the_lock() -> None:
    folder = Path(str(logged_model().artifact_location))
    requirements = (folder / "requirements.txt").read_text().split("\n")
    assert {"keras", "mlflow", "numpy", "pandas", "tensorflow"} <= {*requirements}
    assert "-c constraints.txt" in requirements
    constraints = (folder / "constraints.txt").read_text().split("\n")
    assert f"numpy=={np.__version__}" in constraints
    assert [line for line in constraints if line.startswith("tensorflow==")]
    assert not [line for line in constraints if "hash" in line or "tensorflow-cpu" in line]


def test_a_package_of_the_lock_that_is_not_installed_is_no_constraint() -> None:
    lock = "numpy==1.0 \\\n    --hash=sha256:0\nno-such-package==1\n# via\n#   keras==3\n"
    assert models.installed_versions(lock) == [f"numpy=={np.__version__}"]
