"""Projects that tests of several capabilities read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import STDOUT
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from sentiment.serving.pyfunc_model import SentimentModel
from tests.conftest import Sharer, own_copy, stand_in
from tests.extras.planted import run_everything
from tests.project import EPOCHS, TRANSFORMER, Project
from workflow import dvc_commands, files
from workflow.files import FETCH, read_reviews
from workflow.registry import champion

if TYPE_CHECKING:
    import distributed

SWEEP_SETTINGS: dict[str, Any] = {
    "confirm": {"top": 1, "seeds": 2},
    "space": {
        "train.units": {"choices": [3, 4]},
        "train.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "pad.max_length": {"low": 30, "high": 40, "step": 10},
    },
}


def fork_dvc(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let DVC that trains for this process start as `tests.forking` says; what it prints."""
    printed: list[str] = []

    def run(*arguments: str) -> int:
        done = project.finish(("dvc", *arguments), {}, STDOUT)
        printed.append(done.stdout)
        return done.returncode

    monkeypatch.setattr(dvc_commands, "run_dvc", run)
    return printed


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


@contextmanager
def in_this_process(_: int) -> "Iterator[distributed.Client]":
    """One of Dask's workers, in this process, which has TensorFlow."""
    import distributed  # who deletes the sweep may have no Dask

    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as started,
        distributed.Client(started) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def swept(finished: Project, shared: Sharer) -> Project:
    """A finished project after a sweep of three trials."""

    def search(project: Project) -> None:
        from extras.sweep import __main__ as sweep

        project.change(sweep=SWEEP_SETTINGS)
        project.run("git", "commit", "--all", "--quiet", "--message", "space")
        with pytest.MonkeyPatch.context() as patch:
            stand_in(project.path, patch)
            patch.setattr("extras.common.cluster.local", in_this_process)
            sweep.main(["--trials", "3"], standalone_mode=False)

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
def transformed(finished: Project, shared: Sharer) -> Project:
    """A finished project after its second training, of a transformer, which is champion."""

    def train_transformer(project: Project) -> None:
        project.change(train={**TRANSFORMER, "pooling": "mean", "epochs": EPOCHS})
        project.run("dvc", "repro")
        project.run("python", "-m", "tools.promote", "--run", project.run_id)
        project.commit()

    return shared("transformed", train_transformer, finished.path)


@pytest.fixture(scope="session")
def grouped(two_runs: Project, shared: Sharer) -> Project:
    """A project with a group of two seeds, the first of them that of `data/`."""

    def group_seeds(project: Project) -> None:
        from extras.seeds import __main__ as seeds  # who deletes it has no group

        with pytest.MonkeyPatch.context() as patch:
            stand_in(project.path, patch)
            fork_dvc(project, patch)
            seeds.main(["--count", "2"], standalone_mode=False)

    return shared("grouped", group_seeds, two_runs.path)


@pytest.fixture
def group(grouped: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `grouped` of one's own, which is the working directory."""
    return own_copy(grouped, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def private(own_texts: Project, shared: Sharer) -> Project:
    """A project with secrets and texts of one's own after all commands that could let them out."""
    return shared("private", run_everything, own_texts.path)
