"""Predict a file in parts, in this process or by workers, and log a run in MLflow."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout
from tqdm import tqdm

from extras.batch_predict import cluster, parts
from extras.batch_predict.parts import BatchJob, Counts
from extras.common.model_versions import resolve_project_version, run_with_versions
from sentiment.data.params import file_name
from sentiment.data.rows import Columns, Source, read_rows
from sentiment.errors import UserError
from workflow import downloads, files, store, tracking
from workflow.params import load_params
from workflow.registry import champion
from workflow.registry.versions import PACKAGE_TAG
from workflow.tracking import Run

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MANIFEST = "manifest.json"
LOCK = ".lock"


class BatchRequest(NamedTuple):
    """The file, model, folder and workers of a batch prediction.

    Attributes:
        file: a path or a URL.
        out: the folder of the predictions.
        text_column: the column of the texts.
        id_column: a column that is copied to the predictions.
        model_uri: the model version. None: the champion.
        workers: number of processes on this machine. None: this process.
        scheduler: URL of a Dask scheduler. None: no workers elsewhere.
    """

    file: str
    out: Path
    text_column: str
    id_column: str | None
    model_uri: str | None
    workers: int | None
    scheduler: str | None


def predict_file(request: BatchRequest) -> dict[str, Any]:
    """Predict all parts that are not finished yet. Each call is a run of its own in MLflow.

    Returns:
        The manifest.

    Raises:
        UserError: the file, the version or the scheduler cannot be used, or the folder has
            predictions of something else.
        StoreError: the tracking store cannot be used.
    """
    if (request.workers or request.scheduler) and find_spec("distributed") is None:
        raise UserError(
            "Workers need Dask, which is not installed here. Run `make .venv/batch_predict`, and "
            "then `make batch-predict`."
        )
    if request.scheduler and not store.is_server(store.tracking_uri()):
        raise UserError(
            "Workers on other machines cannot reach mlflow.db in this folder. Name a server in "
            "MLFLOW_TRACKING_URI."
        )
    version = resolve_project_version(request.model_uri)
    folder = request.out
    with ExitStack() as stack:
        with downloads.local_copy(request.file) as source:
            stack.enter_context(lock_folder(folder))
            stack.callback((folder / parts.TEXT_COPY).unlink, missing_ok=True)
            job = prepare_job(request, source, version)
        finished = read_finished_parts(job)
        (folder / MANIFEST).unlink(missing_ok=True)  # a folder with a manifest is complete
        file = file_name(request.file)
        name = f"batch prediction of {file} by version {version.version} of {version.name}"
        params = {f"batch_predict.{key}": value for key, value in job.inputs.items()}
        run = stack.enter_context(run_with_versions([version], name, params, {}))
        started = time.monotonic()
        counts = predict_missing_parts(job, finished, request)
        manifest = {
            "file": file,
            "run_id": run.run_id,
            "parts": [parts.part_path(job, part).name for part in range(len(finished))],
            **job.inputs,
            **counts._asdict(),
        }
        text = json.dumps(manifest, indent=2) + "\n"
        files.write_text_atomically(folder / MANIFEST, text)
        log_counts(run, job, version, file, counts, time.monotonic() - started)
    return manifest


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Let no other command write to the folder during the block.

    A new folder in which the block leaves nothing is removed again.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            try:
                yield
            finally:
                if is_new and [path.name for path in folder.iterdir()] == [LOCK]:
                    (folder / LOCK).unlink()
                    folder.rmdir()
    except Timeout:
        raise UserError(
            f"Another command writes predictions to {folder}. Wait until it has finished."
        ) from None


def prepare_job(request: BatchRequest, source: Source, version: "ModelVersion") -> BatchJob:
    """Copy the texts into the folder, and describe them and the model.

    Raises:
        UserError: the file cannot be read.
    """
    max_characters = load_params().fetch.table.max_characters
    columns = Columns(request.text_column, id=request.id_column)
    rows = read_rows(source, columns, max_characters)
    parts.copy_texts(rows, request.out / parts.TEXT_COPY)
    model_uri = champion.model_uri_of(version)
    inputs = {
        "file_sha256": files.sha256(source.path),
        "model": model_uri,
        "package_sha256": version.tags[PACKAGE_TAG],
        "text_column": request.text_column,
        "id_column": request.id_column,
        "max_characters": max_characters,
        "part_rows": parts.PART_ROWS,
        "part_characters": parts.PART_CHARACTERS,
    }
    is_pinned = bool(request.workers) and not request.scheduler
    return BatchJob(request.out.resolve(), model_uri, store.tracking_uri(), inputs, is_pinned)


def read_finished_parts(job: BatchJob) -> list[Counts | None]:
    """Return the counts of each part, or None for a part that has to be predicted.

    Raises:
        UserError: the folder has predictions of something else, or a file that is not a part.
    """
    folder = job.folder / parts.PARTS
    folder.mkdir(exist_ok=True)
    for partial in folder.glob(".part-*"):  # left by a worker that was killed
        partial.unlink()
    counts = {path: parts.read_part_counts(job, path) for path in folder.glob("part-*")}
    paths = [parts.part_path(job, part) for part in range(len(parts.part_sizes(job)))]
    if foreign := sorted(counts.keys() - set(paths)):
        raise UserError(f"{foreign[0]} is not a part of these predictions. Remove it.")
    return [counts.get(path) for path in paths]


def predict_missing_parts(
    job: BatchJob, finished: Sequence[Counts | None], request: BatchRequest
) -> Counts:
    """Predict the parts that are not finished, with a progress bar.

    Returns:
        The counts of all parts together.

    Raises:
        UserError: the scheduler cannot be used, or a part cannot be predicted.
    """
    counts = [*filter(None, finished)]
    missing = [part for part, done in enumerate(finished) if done is None]
    total = sum(parts.part_sizes(job))
    initial = sum(done.rows for done in counts)
    with tqdm(total=total, initial=initial, unit=" texts", smoothing=0, disable=None) as bar:
        for done in predict_parts(job, missing, request):
            counts.append(done)
            bar.update(done.rows)
    return Counts(
        rows=sum(done.rows for done in counts),
        errors=sum(done.errors for done in counts),
        positive=sum(done.positive for done in counts),
    )


def predict_parts(job: BatchJob, missing: Sequence[int], request: BatchRequest) -> Iterator[Counts]:
    """Predict parts, in this process or by workers. Yield the counts of each finished part."""
    if not (missing and (request.workers or request.scheduler)):
        yield from (parts.predict_part(job, part) for part in missing)
        return
    from distributed import as_completed

    if request.scheduler:
        workers = cluster.remote_cluster(request.scheduler)
    else:
        workers = cluster.local_cluster(request.workers or 1)
    with workers as client:
        futures = [client.submit(parts.predict_part, job, part, pure=False) for part in missing]
        for future in as_completed(futures):
            yield cluster.task_result(future)


def log_counts(
    run: Run, job: BatchJob, version: "ModelVersion", file: str, counts: Counts, seconds: float
) -> None:
    """Log the file, the version, the counts and the duration."""
    digest = job.inputs["file_sha256"][:8]
    dataset = tracking.describe_file(file, "batch prediction", file, digest, counts.rows)
    tracking.log_dataset(run, dataset)
    metrics = {f"batch_predict.{name}": float(count) for name, count in counts._asdict().items()}
    metrics["batch_predict.seconds"] = seconds
    tracking.log_metrics(run, metrics, dataset, tracking.model_id_of(version))


def format_manifest(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return the manifest as a text for a reader."""
    return (
        f"{manifest['rows']:,} rows of {manifest['file']} by {manifest['model']}: "
        f"{manifest['positive']:,} positive, {manifest['errors']:,} without a prediction\n"
        f"Run {manifest['run_id']}; predictions and {MANIFEST} in {folder}"
    )
