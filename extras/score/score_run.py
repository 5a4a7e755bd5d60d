"""A file scored: copied, its parts placed on workers, and the whole logged as a run in MLflow."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout
from tqdm import tqdm
from workflow.ending import escape

from extras.common import cluster, texts
from extras.common.texts import Columns
from extras.score import parts
from extras.score.parts import Counts, Job
from sentiment.data.params import file_name
from sentiment.errors import UserError
from workflow import cli, downloads, files
from workflow.params import load_params
from workflow.registry import champion
from workflow.registry.versions import SERVED_DIGEST
from workflow.runs import identity, lifecycle, store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from workflow.runs.logger import RunLogger

KEY = "score.key"  # tag of the run: what is scored by what into which folder
MANIFEST = "manifest.json"
ADVICE = "Bring its clone to this commit, run `make .venv/score` there, and start it again."


class Request(NamedTuple):
    """What is scored by which model and into which folder; and by which workers, if by any."""

    file: str
    out: Path
    text: str
    identity: str | None
    model: str | None
    workers: int | None
    scheduler: str | None


def run(request: Request) -> dict[str, Any]:
    """Score all parts that are not there yet; return the manifest.

    Raises:
        UserError: the file cannot be read, the folder has answers to something else, or the store
            or the scheduler cannot be used.
    """
    version, folder = champion.version(request.model), request.out
    if request.scheduler and not store.is_server(store.tracking_uri()):
        raise UserError(
            "Workers on other machines do not reach mlflow.db in this folder: name a server in "
            "MLFLOW_TRACKING_URI."
        )
    (folder / parts.PARTS).mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context(alone(folder))
        stack.callback((folder / parts.COPY).unlink, missing_ok=True)
        job = prepare(request, version)
        places = [parts.place(job, part) for part in range(len(parts.sizes(job)))]
        found = (job.folder / parts.PARTS).glob("part-*")  # also parts that this file has not
        done = {path: parts.finished(job, path) for path in found}
        there = [done.get(path) for path in places]
        log = stack.enter_context(started(request, job, version, lock))
        begun = time.monotonic()
        counts = score(job, there, request)
        log_counts(log, job, version, file_name(request.file), counts, time.monotonic() - begun)
    names = [path.name for path in places]
    ran = {"file": file_name(request.file), "run_id": log.run.run_id, "parts": names}
    manifest = {**ran, **job.origin, **counts._asdict()}
    cli.replace_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    if log.lost:
        raise UserError(f"{folder} is complete, its run in MLflow is not: run the command again.")
    return manifest


@contextmanager
def alone(folder: Path) -> Iterator[Path]:
    """Let no other command write to the folder; yield the file that is locked meanwhile."""
    try:
        with FileLock(folder / ".lock", timeout=0) as lock:
            yield Path(lock.lock_file)
    except Timeout:
        raise UserError(f"Another command scores into {folder}: wait for it.") from None


def prepare(request: Request, version: "ModelVersion") -> Job:
    """Copy the texts into the folder, and say what they and the model are.

    Raises:
        UserError: the file cannot be read, or was changed meanwhile.
    """
    longest, columns = load_params().fetch.table.longest, Columns(request.text, request.identity)
    for left in (request.out / parts.PARTS).glob(".part-*"):  # by a worker that was killed
        left.unlink()
    with downloads.local(request.file) as source:
        before = source.path.stat()
        parts.copy(texts.read(source, columns, longest), request.out / parts.COPY)
        digest, after = files.sha256(source.path), source.path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise UserError(f"{source.name} changed while it was read: run the command again.")
    model = f"models:/{version.name}/{version.version}"
    origin = {
        "file_sha256": digest,
        "model": model,
        "served_sha256": version.tags[SERVED_DIGEST],
        **columns._asdict(),
        "longest": longest,
        "part_rows": parts.ROWS,
    }
    is_pinned = bool(request.workers) and not request.scheduler
    return Job(request.out.resolve(), model, store.tracking_uri(), origin, is_pinned)


def started(
    request: Request, job: Job, version: "ModelVersion", lock: Path
) -> AbstractContextManager["RunLogger"]:
    """The scoring's run in MLflow: the same one when the command is called again."""
    name = f"score {file_name(request.file)} by version {version.version} of {version.name}"
    key = identity.fingerprint({**job.origin, "folder": str(job.folder)})
    tags = {KEY: key, **identity.provenance(), **identity.describe()}
    params = {f"score.{name}": value for name, value in job.origin.items()}
    which = f"tags.`{KEY}` = '{key}'"
    return lifecycle.start_run(name, params, tags, lock, which, with_model=False)


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
    log: "RunLogger", job: Job, version: "ModelVersion", file: str, counts: Counts, seconds: float
) -> None:
    """Log what was scored, by which version, and how long it took."""
    digest = job.origin["file_sha256"][:8]
    log.run = log.run._replace(model_id=champion.model_id(version))
    champion.log_use(log, [version])
    log.dataset(file, "scoring", None, file, digest)
    metrics = {f"score_{name}": float(count) for name, count in counts._asdict().items()}
    log.metrics(metrics | {"score_seconds": seconds}, file, digest)


def summary(manifest: Mapping[str, Any], folder: Path) -> str:
    """What `make` returns, for a reader."""
    return escape(
        f"{manifest['rows']:,} rows of {manifest['file']} by {manifest['model']}: "
        f"{manifest['positive']:,} positive, {manifest['errors']:,} without an answer\n"
        f"Run {manifest['run_id']}; answers and {MANIFEST} in {folder}"
    )
