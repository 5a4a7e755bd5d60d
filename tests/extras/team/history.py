"""The project's history as a client of MLflow sees it."""

import json
from typing import Any

import mlflow
from mlflow.entities import ViewType

from tests.project import MODEL
from workflow import store


def history(client: mlflow.MlflowClient) -> str:
    """Return all runs, some of their curves, and all versions; without what a copy changes."""
    experiment = client.get_experiment_by_name(store.EXPERIMENT)
    assert experiment
    runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)
    documents: list[dict[str, Any]] = [run.to_dictionary() for run in runs]
    for run in documents:
        del run["info"]["artifact_uri"]
        del run["info"]["experiment_id"]
        # a database may return these in any order
        run["inputs"]["dataset_inputs"].sort(key=str)
        run.get("outputs", {}).get("model_outputs", []).sort(key=str)
    curves = [
        sorted((point.step, point.timestamp, point.value) for point in points)
        for run in runs[::4]
        for points in (client.get_metric_history(run.info.run_id, it) for it in run.data.metrics)
    ]
    versions = sorted(
        [str(it.version), it.run_id, it.source, it.creation_timestamp, sorted(it.tags.items())]
        for it in client.search_model_versions(f"name = '{MODEL}'")
    )
    champion = client.get_model_version_by_alias(MODEL, "champion")
    return json.dumps([documents, curves, versions, str(champion.version)], sort_keys=True)
