"""Evaluations that were never computed, and versions of models that do not exist."""

from itertools import count
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from sentiment.project.manifest import EvaluateManifest, write_manifest
from sentiment.tracking.versions import Evaluation

from sentiment.params import EvaluateParams, FetchParams, PadParams, TrainParams
from sentiment.project import paths
from sentiment.project.documents import new_folder
from sentiment.tracking import champion, registry
from sentiment.tracking.models import TEXT_MODEL

MANIFEST = EvaluateManifest(
    fetch=FetchParams(),
    label_names=["negative", "positive"],
    test_set_digest="0123",
    dataset_digest="4567",
    pad=PadParams(),
    train=TrainParams(),
    training_key="0123456789abcdef",
    repetition_key="fedcba9876543210",
    model_digest="89ab",
    evaluate=EvaluateParams(),
)
NAME = "imdb-sentiment"  # the registered model of `MANIFEST`
REVIEWS = 600
keys = map("key {}".format, count())


def predictions(correct: int) -> pd.DataFrame:
    """Return predictions for positive and negative reviews, the first `correct` of them right."""
    actual = np.where(np.arange(REVIEWS) % 2, "positive", "negative")
    wrong = np.where(actual == "positive", "negative", "positive")
    predicted = np.where(np.arange(REVIEWS) < correct, actual, wrong)
    return pd.DataFrame(
        {
            "review": np.arange(REVIEWS),
            "actual": actual,
            "predicted": predicted,
            "probability_negative": np.where(predicted == "positive", 0.1, 0.9).astype(np.float32),
            "probability_positive": np.where(predicted == "positive", 0.9, 0.1).astype(np.float32),
            "words": 100,
            "unknown_words": 1,
            "seen_in_training": False,
        }
    )


def evaluation(correct: int, **manifest: Any) -> Evaluation[EvaluateManifest]:
    """Return the evaluation of another training, whose first `correct` predictions are right."""
    changes = {"repetition_key": next(keys), **manifest}
    return Evaluation(MANIFEST.model_copy(update=changes), predictions(correct))


def register(evaluated: Evaluation[EvaluateManifest]) -> ModelVersion:
    """Log a run that has an evaluation and a model without files, and register the model."""
    folder = new_folder(paths.EVALUATE_FOLDER)
    evaluated.predictions.to_csv(paths.PREDICTIONS_FILE, index=False)
    write_manifest(folder, evaluated.manifest)
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder))
    client = mlflow.MlflowClient()
    model = client.create_logged_model(run.info.experiment_id, TEXT_MODEL, run.info.run_id)
    dataset = evaluated.manifest.fetch.dataset_name
    version = registry.register_version(model.model_id, run.info.run_id, dataset)
    table = evaluated.predictions
    accuracy = float((table["actual"] == table["predicted"]).mean())
    registry.write_card(version, "the card", accuracy)
    return read_version(str(version.version))


def submit(correct: int, **manifest: Any) -> ModelVersion:
    """Register the version of another training, let the rule decide, and return the version."""
    evaluated = evaluation(correct, **manifest)
    version = register(evaluated)
    champion.decide(version, evaluated, alpha=0.05)
    return read_version(str(version.version))


def read_version(number: str) -> ModelVersion:
    """Return a version as it is in the store now."""
    return mlflow.MlflowClient().get_model_version(NAME, number)
