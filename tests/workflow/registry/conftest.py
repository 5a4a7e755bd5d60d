"""Versions of the registered model without the model, which takes seconds to log."""

from pathlib import Path

import mlflow
import pytest

from workflow.params import Params, Promote
from workflow.registry import packaging
from workflow.runs import store
from workflow.runs.logger import Run


@pytest.fixture
def rule(default_params: Params) -> Promote:
    return default_params.promote


def entry(_: object, run: Run, parts: packaging.Parts) -> str:  # noqa: ARG001
    """The entry of a model, without the model."""
    model = mlflow.initialize_logged_model(
        "sentiment", source_run_id=run.run_id, experiment_id=run.experiment_id
    )
    return str(model.model_id)


@pytest.fixture
def client(root_with_store: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """A client of this folder's store, where models are registered without their files."""
    assert root_with_store.is_dir()
    monkeypatch.setattr(packaging, "log_model", entry)
    store.connect()
    return mlflow.MlflowClient()
