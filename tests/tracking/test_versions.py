"""A version is found by its URI, and an evaluation is read as it was written."""

from pathlib import Path

import mlflow
import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.project import paths
from sentiment.tracking import versions
from sentiment.tracking.models import KERAS_MODEL
from tests.conftest import runs
from tests.evaluations import NAME, evaluation, predictions, register, submit

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("empty_store")
def test_a_version_is_found_by_its_uri_and_otherwise_the_champion() -> None:
    submit(400)
    submit(402)
    named = versions.resolve_version(f"models:/{NAME}/2", "imdb")
    default = versions.resolve_version(None, "imdb")
    assert versions.version_uri(named) == f"models:/{NAME}/2"
    assert versions.version_uri(default) == f"models:/{NAME}/1"


@pytest.mark.usefixtures("empty_store")
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (f"models:/{NAME}/7", f"There is no version models:/{NAME}/7"),
        (f"models:/{NAME}/{'9' * 400}", "is not a model version"),
        ("runs:/abc/model", "runs:/abc/model is not a model version"),
        (None, "There is no champion of other-sentiment. .*`sentiment promote RUN`"),
    ],
)
def test_a_version_that_does_not_exist_is_one_message(uri: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        versions.resolve_version(uri, "other.csv")


@pytest.mark.usefixtures("empty_store")
def test_a_version_without_files_is_one_message() -> None:
    version = register(evaluation(400))
    with pytest.raises(UserError, match=f"models:/{NAME}/1 cannot be loaded: "):
        versions.load_model(versions.version_uri(version))


@pytest.mark.usefixtures("finished")
def test_a_model_that_takes_no_texts_is_one_message() -> None:
    (run,) = runs()
    found = mlflow.MlflowClient().search_logged_models(
        [run.info.experiment_id], f"name = '{KERAS_MODEL}'"
    )
    with pytest.raises(UserError, match="does not take raw texts"):
        versions.load_model(found[0].model_uri)


@pytest.mark.usefixtures("empty_store")
def test_the_evaluation_of_a_run_is_downloaded_with_the_same_bits(rng: np.random.Generator) -> None:
    logged = evaluation(400)
    for name in ("probability_negative", "probability_positive"):
        logged.predictions[name] = rng.random(len(logged.predictions), np.float32)
    read = versions.download_evaluation(str(register(logged).run_id))
    assert read.predictions.equals(logged.predictions)
    assert read.manifest.test_set_digest == logged.manifest.test_set_digest
    assert read.manifest.repetition_key == logged.manifest.repetition_key
    assert read.manifest.evaluate.threshold == logged.manifest.evaluate.threshold


@pytest.mark.usefixtures("in_tmp_path")
def test_labels_that_look_like_missing_values_or_numbers_are_read_as_they_are() -> None:
    table = predictions(4).replace({"negative": "null", "positive": "1.0"})
    table = table.rename(
        columns={
            "probability_negative": "probability_null",
            "probability_positive": "probability_1.0",
        }
    )
    table.to_csv("predictions.csv", index=False)
    assert versions.read_predictions(Path("predictions.csv")).equals(table)


@pytest.mark.usefixtures("empty_store")
def test_a_run_without_an_evaluation_is_one_message() -> None:
    with mlflow.start_run() as run:
        pass
    with pytest.raises(UserError, match=rf"^run {run.info.run_id} has no manifest.json$"):
        versions.download_evaluation(run.info.run_id)
    with pytest.raises(UserError, match=rf"^there is no run {'0' * 32}$"):
        versions.download_evaluation("0" * 32)


def test_predictions_that_are_missing_or_no_table_are_one_message(tmp_path: Path) -> None:
    path = tmp_path / paths.PREDICTIONS_FILE.name
    with pytest.raises(UserError, match=f"{path.name} is missing"):
        versions.read_predictions(path)
    path.touch()
    with pytest.raises(UserError, match=f"{path.name} is damaged"):
        versions.read_predictions(path)
