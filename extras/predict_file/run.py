"""Predict a file in parts, and log a run in MLflow."""

import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from extras.common.operations import connect_to_version, operation_run
from extras.predict_file import parts, workers
from extras.predict_file.folder import (
    MANIFEST,
    PredictionInputs,
    count_predictions,
    part_path,
    prepare_folder,
    read_prediction_inputs,
    replace_run_id,
    write_part,
)
from sentiment.data.rows import Columns, read_rows
from workflow import files, store, versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

LOG_SECONDS = 30  # between two lines of progress in a log


class FileRequest(NamedTuple):
    """What to predict, and by what.

    Attributes:
        file: the table of texts.
        out: the folder of the predictions.
        text_column: the column of the texts.
        id_column: a column that is copied to the predictions.
        model_uri: the model version. None: the champion.
        workers: number of processes on this machine. None: this process predicts.
        scheduler: address of a Dask scheduler. None: no workers elsewhere.
    """

    file: Path
    out: Path
    text_column: str
    id_column: str | None
    model_uri: str | None
    workers: int | None
    scheduler: str | None

    @property
    def columns(self) -> Columns:
        """The columns of the file that are read."""
        return Columns(self.text_column, id=self.id_column)


def predict_file(request: FileRequest) -> dict[str, Any]:
    """Predict all parts that are not finished yet. Each call is a run of its own.

    Returns:
        The manifest.

    Raises:
        UserError: the file, the version or the workers cannot be used, or the folder has something
            else.
        StoreError: the tracking store cannot be used.
    """
    started = time.monotonic()
    read_prediction_inputs(request.out)  # refuses a folder of others at once
    rows = sum(1 for _ in read_rows(request.file, request.columns))  # refuses a damaged file
    import mlflow

    version = connect_to_version(request.model_uri)
    inputs = describe_inputs(request, version)
    prepare_folder(request.out, inputs)
    paths = {
        number: part_path(request.out, number)
        for number in range(1, math.ceil(rows / parts.PART_ROWS) + 1)
    }
    file = request.file.name
    params = {"file": file, **inputs.model_dump(exclude={"version", "logged_model"})}
    with operation_run(version, f"predictions of {file}", params) as run:
        previous = replace_run_id(request.out, run.info.run_id)
        if previous:  # the call before may have been killed
            end_killed_run(previous)
        log_file(request.file, inputs.file_sha256)
        predict_missing_parts(request, inputs.logged_model, paths)
        counts = count_predictions(paths.values())._asdict()
        manifest = {"file": file, **inputs.model_dump(), **counts, "run_id": run.info.run_id}
        files.write_json(request.out / MANIFEST, manifest)
        mlflow.log_metrics({**counts, "seconds": time.monotonic() - started})
    return manifest


def end_killed_run(run_id: str) -> None:
    """End the run of the call before, if it was killed."""
    import mlflow

    client = mlflow.MlflowClient()
    if client.get_run(run_id).info.status == "RUNNING":
        client.set_terminated(run_id, "KILLED")


def describe_inputs(request: FileRequest, version: "ModelVersion") -> PredictionInputs:
    """Return what the predictions depend on."""
    with request.file.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return PredictionInputs(
        file_sha256=digest,
        version=versions.version_uri(version),
        logged_model=str(version.source),
        text_column=request.text_column,
        id_column=request.id_column,
        part_rows=parts.PART_ROWS,
    )


def log_file(file: Path, digest: str) -> None:
    """Log the file of the texts as the dataset of the active run."""
    import mlflow
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.meta_dataset import MetaDataset

    source = get_dataset_source_from_json(json.dumps({"uri": str(file)}), "local")
    dataset = MetaDataset(source, file.name, digest[:8])  # type: ignore[abstract]  # it is concrete
    mlflow.log_input(dataset, "prediction")


def predict_missing_parts(request: FileRequest, model_uri: str, paths: Mapping[int, Path]) -> None:
    """Predict the parts without a file, with a progress bar.

    Args:
        request: what to predict, and by what.
        model_uri: URI of the logged model, which no other store has.
        paths: the file of each part, by its number.
    """
    missing = {number for number, path in paths.items() if not path.exists()}
    to_predict = (
        part for part in parts.read_parts(request.file, request.columns) if part.number in missing
    )
    arguments = (model_uri, store.tracking_uri())
    finished = len(paths) - len(missing)
    with ExitStack() as stack:
        if request.scheduler:
            client = stack.enter_context(workers.scheduler_workers(request.scheduler))
            predicted = workers.predict_parts(client, to_predict, *arguments)
        elif request.workers:
            client = stack.enter_context(workers.local_workers(request.workers))
            predicted = workers.predict_parts(client, to_predict, *arguments)
        else:
            predicted = (parts.predict_part(part, *arguments) for part in to_predict)
        bar = tqdm(
            predicted,
            total=len(paths),
            initial=finished,
            unit=" parts",
            mininterval=1 if sys.stderr.isatty() else LOG_SECONDS,
        )
        for number, table in bar:
            write_part(paths[number], table)
