"""A file scored: copied, its parts placed on workers, and the whole logged as a run in MLflow."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout
from tqdm import tqdm

from extras.common import run_groups, texts
from extras.common.texts import Columns
from extras.score import cluster, parts
from extras.score.parts import Counts, Job
from sentiment.data.params import file_name
from sentiment.errors import UserError
from workflow import downloads, files, store, tracking
from workflow.params import load_params
from workflow.registry import champion
from workflow.registry.versions import PACKAGE_TAG
from workflow.terminal import replace_control_characters
from workflow.tracking import Run

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MANIFEST = "manifest.json"
ADVICE = "Bring its clone to this commit, run `make .venv/score` there, and start it again."


class Request(NamedTuple):
    """What is scored by which model and into which folder; and by which workers, if by any."""

    file: str
    out: Path
    text: str
    identity: str | None
    model_uri: str | None
    workers: int | None
    scheduler: str | None


def run(request: Request) -> dict[str, Any]:
    """Score all parts that are not there yet; return the manifest.

    Each call is a run of its own in MLflow.

    Raises:
        UserError: the file cannot be read, the folder has answers to something else, or the store
            or the scheduler cannot be used.
    """
    version = champion.resolve_version(request.model_uri)
    folder = request.out
    if request.scheduler and not store.is_server(store.tracking_uri()):
        raise UserError(
            "Workers on other machines do not reach mlflow.db in this folder: name a server in "
            "MLFLOW_TRACKING_URI."
        )
    (folder / parts.PARTS).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(alone(folder))
        stack.callback((folder / parts.COPY).unlink, missing_ok=True)
        job = prepare(request, version)
        paths = [parts.place(job, part) for part in range(len(parts.sizes(job)))]
        found = (job.folder / parts.PARTS).glob("part-*")  # also parts that this file lacks
        finished = {path: parts.finished(job, path) for path in found}
        there = [finished.get(path) for path in paths]
        file = file_name(request.file)
        name = f"score {file} by version {version.version} of {version.name}"
        params = {f"score.{name}": value for name, value in job.origin.items()}
        mlflow_run = stack.enter_context(run_groups.run_with_versions([version], name, params, {}))
        started = time.monotonic()
        counts = score(job, there, request)
        manifest = {
            "file": file,
            "run_id": mlflow_run.run_id,
            "parts": [path.name for path in paths],
            **job.origin,
            **counts._asdict(),
        }
        text = json.dumps(manifest, indent=2) + "\n"
        files.write_text_atomically(folder / MANIFEST, text)
        log_counts(mlflow_run, job, version, file, counts, time.monotonic() - started)
    return manifest


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let no other command write to the folder during the block."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"Another command scores into {folder}: wait for it.") from None


def prepare(request: Request, version: "ModelVersion") -> Job:
    """Copy the texts into the folder, and say what they and the model are.

    Raises:
        UserError: the file cannot be read, or was changed meanwhile.
    """
    longest = load_params().fetch.table.longest
    columns = Columns(request.text, request.identity)
    for left in (request.out / parts.PARTS).glob(".part-*"):  # by a worker that was killed
        left.unlink()
    with downloads.local_copy(request.file) as source:
        before = source.path.stat()
        parts.copy(texts.read(source, columns, longest), request.out / parts.COPY)
        digest = files.sha256(source.path)
        after = source.path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise UserError(f"{source.name} changed while it was read: run the command again.")
    model = champion.model_uri_of(version)
    origin = {
        "file_sha256": digest,
        "model": model,
        "served_sha256": version.tags[PACKAGE_TAG],
        **columns._asdict(),
        "longest": longest,
        "part_rows": parts.ROWS,
    }
    is_pinned = bool(request.workers) and not request.scheduler
    return Job(request.out.resolve(), model, store.tracking_uri(), origin, is_pinned)


def score(job: Job, there: Sequence[Counts | None], request: Request) -> Counts:
    """Score the parts that are not there, with a progress bar by texts; count all rows.

    Raises:
        UserError: the scheduler cannot be used, or a part cannot be scored.
    """
    counts = [Counts(0, 0, 0), *filter(None, there)]
    todo = [part for part, done in enumerate(there) if done is None]
    total, before = sum(parts.sizes(job)), sum(done.rows for done in counts)
    with tqdm(total=total, initial=before, unit=" texts", smoothing=0, disable=None) as bar:
        for done in outcomes(job, todo, request):
            counts.append(done)
            bar.update(done.rows)
    return Counts(*map(sum, zip(*counts, strict=True)))


def outcomes(job: Job, todo: Sequence[int], request: Request) -> Iterator[Counts]:
    """Score parts in this process or by workers; yield the counts of each as it is done."""
    if not (todo and (request.workers or request.scheduler)):
        yield from (parts.score(job, part) for part in todo)
        return
    workers = cluster.local(request.workers or 1)
    if request.scheduler:
        workers = cluster.connected(request.scheduler, "score", cluster.versions, ADVICE)
    with workers as client:
        futures = {client.submit(parts.score, job, part, pure=False) for part in todo}
        while futures:
            ended = cluster.ended(futures)
            futures -= ended
            for future in ended:
                if (counts := cluster.result(future)) is None:
                    raise UserError(
                        "A part ended every worker that took it: give them more memory."
                    )
                yield counts


def log_counts(
    run: Run, job: Job, version: "ModelVersion", file: str, counts: Counts, seconds: float
) -> None:
    """Log what was scored, by which version, and how long it took."""
    dataset = tracking.describe_file(file, "scoring", file, job.origin["file_sha256"][:8])
    tracking.log_dataset(run, dataset)
    metrics = {f"score_{name}": float(count) for name, count in counts._asdict().items()}
    metrics["score_seconds"] = seconds
    tracking.log_metrics(run, metrics, dataset, tracking.model_id_of(version))


def summary(manifest: Mapping[str, Any], folder: Path) -> str:
    """Return the manifest as a text for a reader."""
    return replace_control_characters(
        f"{manifest['rows']:,} rows of {manifest['file']} by {manifest['model']}: "
        f"{manifest['positive']:,} positive, {manifest['errors']:,} without an answer\n"
        f"Run {manifest['run_id']}; answers and {MANIFEST} in {folder}"
    )
