"""Projects that tests of several extras read."""

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
from workflow.registry import packaging


def predictions(run_id: str) -> pd.DataFrame:
    """Return a run's predictions on the test set, by review."""
    path = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/evaluate/predictions.csv")
    table = pd.read_csv(path, dtype={"probability": np.float32})
    return table.set_index("review").sort_index()


def load_as_evaluated(run_id: str) -> SentimentModel:
    """Load a run's registered model, and check that it predicts the bits of the evaluation."""
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    model = packaging.load_model(f"models:/{version.name}/{version.version}")
    evaluated = predictions(run_id)
    word_index = files.read_json(FETCH / "word_index.json")
    words = {rank: word for word, rank in word_index.items()}
    texts = [" ".join(words[rank] for rank in review) for review in read_reviews(FETCH, "test")]
    predicted = model.predict(None, pd.DataFrame({"text": texts}))
    np.testing.assert_array_equal(predicted["probability"], evaluated["probability"])
    assert predicted["label"].tolist() == evaluated["predicted"].tolist()
    return model


@pytest.fixture(scope="session")
def transformed(finished: Project, shared: Sharer) -> Project:
    """A project with a second training, of a transformer, which is the champion."""

    def train_transformer(project: Project) -> None:
        project.change(train={**TRANSFORMER, "pooling": "mean"})
        run_stages(project)
        with pytest.MonkeyPatch.context() as patch:
            stand_in(project.path, patch)
            Caller(patch)(promote.main, "--run", project.run_id)

    return shared("transformed", train_transformer, finished.path)


@pytest.fixture(scope="session")
def grouped(two_runs: Project, shared: Sharer) -> Project:
    """A project with a seed group of two runs. The first one is the run of `data/`.

    The output of the command is in the file `output` next to the project.
    """

    def group_seeds(project: Project) -> None:
        output = project.run("python", "-m", "extras.seeds", "--count", "2", "--json")
        project.path.with_name("output").write_text(output, encoding="utf-8")

    return shared("grouped", group_seeds, two_runs.path)


@pytest.fixture
def group(grouped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `grouped`, which is the working directory."""
    return own_copy(grouped, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def private(own_texts: Project, shared: Sharer) -> Project:
    """A project with secrets and private texts, after all commands that could leak them."""
    from tests.extras.planted import run_everything  # it needs several extras

    return shared("private", run_everything, own_texts.path)
