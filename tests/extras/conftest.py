"""Projects that tests of several capabilities read."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from sentiment.serving.pyfunc_model import SentimentModel
from tests.conftest import Caller, Sharer, own_copy, run_stages, stand_in
from tests.project import TRANSFORMER, Project
from tools import promote
from workflow import files
from workflow.files import FETCH, read_reviews
from workflow.registry import champion


def predictions(run_id: str) -> pd.DataFrame:
    """A run's answers to the test set, by review."""
    path = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/evaluate/predictions.csv")
    table = pd.read_csv(path, dtype={"probability": np.float32})
    return table.set_index("review").sort_index()


def answering_as_evaluated(run_id: str) -> SentimentModel:
    """A run's registered model, once it answered texts with the bits of its evaluation."""
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    model = champion.load_model(f"models:/{version.name}/{version.version}")
    index, evaluated = files.read_json(FETCH / "word_index.json"), predictions(run_id)
    words = {rank: word for word, rank in index.items()}
    texts = [" ".join(words[rank] for rank in review) for review in read_reviews(FETCH, "test")]
    answers = model.predict(None, pd.DataFrame({"text": texts}))
    np.testing.assert_array_equal(answers["probability"], evaluated["probability"])
    assert answers["label"].tolist() == evaluated["predicted"].tolist()
    return model


@pytest.fixture(scope="session")
def transformed(finished: Project, shared: Sharer) -> Project:
    """A finished project after its second training, of a transformer, which is champion."""

    def train_transformer(project: Project) -> None:
        project.change(train={**TRANSFORMER, "pooling": "mean"})
        run_stages(project)
        with pytest.MonkeyPatch.context() as patch:
            stand_in(project.path, patch)
            Caller(patch)(promote.main, "--run", project.run_id)

    return shared("transformed", train_transformer, finished.path)


@pytest.fixture(scope="session")
def grouped(two_runs: Project, shared: Sharer) -> Project:
    """A project with a group of two seeds, the first of them that of `data/`."""

    def group_seeds(project: Project) -> None:
        project.run("python", "-m", "extras.seeds", "--count", "2")

    return shared("grouped", group_seeds, two_runs.path)


@pytest.fixture
def group(grouped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `grouped` of one's own, which is the working directory."""
    return own_copy(grouped, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def private(own_texts: Project, shared: Sharer) -> Project:
    """A project with secrets and texts of one's own after all commands that could let them out."""
    from tests.extras.planted import run_everything  # needs every extra

    return shared("private", run_everything, own_texts.path)
