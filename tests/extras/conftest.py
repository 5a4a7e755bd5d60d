"""Projects that tests of several capabilities read."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from sentiment.serving.classifier import Sentiment
from tests.conftest import Sharer, stand_in
from tests.project import Project
from workflow import files
from workflow.files import FETCH, read_reviews
from workflow.registry import champion

SWEEP_SETTINGS: dict[str, Any] = {
    "confirm": {"top": 1, "seeds": 2},
    "space": {
        "train.units": {"choices": [3, 4, 5]},
        "train.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "pad.max_length": {"low": 30, "high": 60, "step": 10},
    },
}


def predictions(run_id: str) -> pd.DataFrame:
    """A run's answers to the test set, by review."""
    path = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/evaluate/predictions.csv")
    table = pd.read_csv(path, dtype={"probability": np.float32})
    return table.set_index("review").sort_index()


def answering_as_evaluated(run_id: str) -> Sentiment:
    """A run's registered model, once it answered texts with the bits of its evaluation."""
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    model = champion.load(f"models:/{version.name}/{version.version}")
    index, evaluated = files.read_json(FETCH / "word_index.json"), predictions(run_id)
    words = {rank: word for word, rank in index.items()}
    texts = [" ".join(words[rank] for rank in review) for review in read_reviews(FETCH, "test")]
    answers = model.predict(None, pd.DataFrame({"text": texts}))
    np.testing.assert_array_equal(answers["probability"], evaluated["probability"])
    assert answers["label"].tolist() == evaluated["predicted"].tolist()
    return model


@pytest.fixture(scope="session")
def swept(finished: Project, shared: Sharer) -> Project:
    """A finished project after a sweep of three trials."""

    def search(project: Project) -> None:
        project.change(sweep=SWEEP_SETTINGS)
        project.run("git", "commit", "--all", "--quiet", "--message", "space")
        project.run("python", "-m", "extras.sweep", "--trials", "3", "--workers", "1")

    return shared("swept", search, finished.path)


@pytest.fixture(scope="session")
def fitted(finished: Project, shared: Sharer) -> Project:
    """A finished project after its linear models were fitted, too.

    What the command printed is in the file `output` beside it.
    """

    def fit(project: Project) -> None:
        output = project.run("dvc", "repro", "extras/baseline/dvc.yaml")
        project.path.with_name("output").write_text(output, encoding="utf-8")
        project.commit()

    return shared("fitted", fit, finished.path)


@pytest.fixture(scope="session")
def grouped(finished: Project, shared: Sharer) -> Project:
    """A finished project with a group of two seeds, the first of them that of `data/`."""

    def group_seeds(project: Project) -> None:
        project.run("python", "-m", "extras.seeds", "--count", "2")

    return shared("grouped", group_seeds, finished.path)


@pytest.fixture
def group(grouped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `grouped` of one's own, which is the working directory."""
    project = grouped.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project
