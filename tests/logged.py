"""The runs in the store of the working directory."""

from typing import TYPE_CHECKING

from tests.small_project import MODEL

if TYPE_CHECKING:
    from mlflow.entities import Run


def runs(experiment: str = MODEL) -> "list[Run]":
    """Return all runs of an experiment, the newest first."""
    import mlflow

    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def curve(run_id: str, metric: str = "loss") -> list[tuple[int, float]]:
    """Return a metric's points of a run, in the order of the steps."""
    import mlflow

    points = mlflow.MlflowClient().get_metric_history(run_id, metric)
    return sorted((point.step, point.value) for point in points)
