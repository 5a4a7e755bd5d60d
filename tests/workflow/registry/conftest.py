"""Versions of the registered model without the model, which takes seconds to log."""

from pathlib import Path

import mlflow
import pytest

from tests.workflow.registry.submitting import Submitter
from workflow import store, tracking
from workflow.params import Params, PromoteParams
from workflow.registry import packaging
from workflow.tracking import Run


@pytest.fixture
def promote_params(default_params: Params) -> PromoteParams:
    return default_params.promote


def log_empty_model(run: Run, package: packaging.ModelPackage) -> str:
    """Log a model without files."""

    def finalize(model_id: str) -> None:
        mlflow.finalize_logged_model(model_id, "READY")

    digest = packaging.package_digest(package)
    return tracking.log_model(run, packaging.MODEL_NAME, digest, {}, finalize)


@pytest.fixture
def client(root_with_store: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """Return a client of this folder's store, where models are registered without their files."""
    assert root_with_store.is_dir()
    monkeypatch.setattr(packaging, "log_package", log_empty_model)
    store.connect()
    return mlflow.MlflowClient()


@pytest.fixture
def submit(default_params: Params) -> Submitter:
    return Submitter(default_params)
