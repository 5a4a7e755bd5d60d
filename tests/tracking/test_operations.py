"""The run of an operation on a model."""

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from sentiment.project.paths import Project
from sentiment.tracking.address import StoreError
from sentiment.tracking.operations import operation_run


def test_a_store_that_fails_is_one_message(
    empty_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MlflowException("The database is locked.")

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", fail)
    version = ModelVersion("imdb-sentiment", "1", 0)
    with pytest.raises(StoreError, match=r"cannot be used: The database is locked\."):  # noqa: SIM117
        with operation_run(Project.here(), empty_store, version, "score a.csv", {}):
            pass
