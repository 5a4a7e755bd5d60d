"""The life of a training's MLflow run: started or resumed, and ended as the training ended.

A tracking store that fails once the run has started costs no epoch: what it lacks is left to
`make sync`, which completes the run from the files.
"""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sentiment.errors import NotAllowedError
from workflow import signals
from workflow.runs import log, store
from workflow.runs.log import Run

if TYPE_CHECKING:
    import mlflow

KEY = "train.key"  # tag: everything that shapes a training, see sentiment.network.checkpoint
MODEL_ID = "model.id"  # tag: the model's entry, which belongs to the run from its start
# tags: the machine and, on it, the process that the run belongs to and the file that it has locked
HOST, PROCESS, LOCK = "process.host", "process.id", "process.lock"
UNLOGGED = "Logging to MLflow stops here, `make sync` completes it later"


class Stopped(Exception):
    """Ends a training before its time, since it is not worth going on; its run ends as KILLED."""


class Tracker:
    """Logs to a run until the tracking store fails; that is printed once, and nothing more logged.

    Attributes:
        run: which run it is.
        begun: when it began, in milliseconds since 1970.
        lost: whether the store has failed.
        unlogged: what is printed then: what becomes of the rest.
    """

    def __init__(self, run: Run, begun: int, unlogged: str = UNLOGGED) -> None:
        self.run = run
        self.begun = begun
        self.lost = False
        self.unlogged = unlogged

    def times(self) -> dict[str, int]:
        """When it began and, if that is now, ended, in milliseconds since 1970."""
        return {"begun": self.begun, "ended": time.time_ns() // 10**6}

    def log(self, write: Callable[..., Any], *given: Any) -> None:
        """Call `write(run, *given)`, which logs something, unless the store has failed.

        Raises:
            Interrupted: a signal came meanwhile.
        """
        with signals.deferred():
            if not self.lost:
                with store.attempt(self.unlogged) as attempt:
                    write(self.run, *given)
                self.lost = attempt.failed


@contextmanager
def started(
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    lock: Path,
    begun: int | None = None,
    run_id: str | None = None,
    note: Callable[[str], object] = lambda _: None,
    with_model: bool = True,
    unlogged: str = UNLOGGED,
) -> Iterator[Tracker]:
    """Start a run with its params and tags, or resume one; end it as the block ends.

    Args:
        name: what the table calls the run.
        params: everything that shapes it.
        tags: what leads back from it.
        lock: a file that this process has locked for as long as the run lasts.
        begun: when a new run began, in milliseconds since 1970, if that is not now.
        run_id: a run to resume, finished or not. A new one is started if the store does not have
            it or another process writes to it, in a copy of this folder say.
        note: called with the run's id as soon as that is known.
        with_model: whether it gets an entry for its model.
        unlogged: what is printed where the store fails later.

    Raises:
        UserError: the store cannot be used at the start.
    """
    import mlflow

    tags, before = {**tags, **_owner(lock)}, None
    try:
        try:
            with signals.deferred(), store.explained():
                found = _begun(name, tags, lock, begun, run_id)
                note(found.info.run_id)
                before = (
                    found  # ended below from here on: until it is noted, it is found as RUNNING
                )
                run = _activated(found.info.run_id, name, dict(params), tags, with_model)
            tracker = Tracker(run, found.info.start_time, unlogged)
        except NotAllowedError as error:
            print(f"{unlogged}: {error}", file=sys.stderr, flush=True)
            tracker = _unlogged(name, unlogged)
        yield tracker
    except BaseException as error:
        failed = isinstance(error, Exception) and not isinstance(error, Stopped)
        if before:
            _give_up(mlflow.MlflowClient(), before.info, "FAILED" if failed else "KILLED")
        raise
    tracker.log(lambda _: mlflow.end_run())


def _begun(
    name: str, tags: Mapping[str, str], lock: Path, begun: int | None, run_id: str | None
) -> "mlflow.entities.Run":
    """The run to resume, or a new one."""
    import mlflow

    experiment_id, client = store.connect(), mlflow.MlflowClient()
    end_abandoned(client, experiment_id)
    return (
        _resumable(client, run_id, lock)
        or _unnoted(client, experiment_id, tags)
        or client.create_run(experiment_id, begun, dict(tags), name)
    )


def _unlogged(name: str, consequence: str) -> Tracker:
    """A tracker that logs nothing, of a run that no store has."""
    tracker = Tracker(Run(uuid4().hex, name, "", ""), time.time_ns() // 10**6, consequence)
    tracker.lost = True
    return tracker


def _owner(lock: Path) -> dict[str, str]:
    """Tags that name this process as the run's, by which others tell whether it still runs."""
    return {HOST: socket.gethostname(), PROCESS: str(os.getpid()), LOCK: str(lock.resolve())}


def _resumable(
    client: "mlflow.MlflowClient", run_id: str | None, lock: Path
) -> "mlflow.entities.Run | None":
    """The run, unless the store does not have it or another process has it."""
    run = store.find_run(client, run_id) if run_id else None
    return None if run and is_taken(run, lock) else run


def _unnoted(
    client: "mlflow.MlflowClient", experiment_id: str, tags: Mapping[str, str]
) -> "mlflow.entities.Run | None":
    """A run of this training that was started here and killed before its id was noted."""
    running = f"attributes.status = 'RUNNING' AND tags.`{KEY}` = '{tags.get(KEY, '')}'"
    here = {HOST: tags[HOST], LOCK: tags[LOCK]}.items()
    found = client.search_runs([experiment_id], running)
    return next((run for run in found if here <= run.data.tags.items()), None)


def _activated(
    run_id: str, name: str, params: dict[str, Any], tags: dict[str, str], with_model: bool
) -> Run:
    """Make the run the active one, with all that it needs before its first epoch.

    The model's entry is made before training, so that MLflow links every epoch's metrics to it.
    """
    import mlflow

    own = Run(run_id, name, "", "")
    # first: by these `end_abandoned` knows whether the run's process is alive
    log.set_tags(own, {key: tags[key] for key in (HOST, PROCESS, LOCK)})
    run = mlflow.start_run(run_id=run_id)
    mlflow.set_tags({**tags, "mlflow.runName": name})
    for tag in run.data.tags:
        if tag.startswith("dvc.") and tag not in tags:  # begun by an experiment, not resumed by it
            mlflow.delete_tag(tag)
    mlflow.log_params(params)
    model_id = _usable_model(run) if with_model else ""
    if model_id is None:
        as_text = {key: str(value) for key, value in params.items()}
        model_id = mlflow.initialize_logged_model(log.MODEL, params=as_text, tags=tags).model_id
        mlflow.set_tag(MODEL_ID, model_id)
    return Run(run_id, name, run.info.experiment_id, model_id)


def _usable_model(run: "mlflow.entities.Run") -> str | None:
    """The model's entry of a run, unless there is none or its logging was cut off.

    MLflow links a model to its run before it stores it, and refuses to link it again.
    """
    model_id = run.data.tags.get(MODEL_ID)
    linked = run.outputs.model_outputs if run.outputs else []
    if model_id in {output.model_id for output in linked} and not log.is_logged(model_id):
        return None
    return model_id


def recorded(run_id: str) -> "Tracker | None":
    """Log to the run that outputs name, or to the one made from them; None if there is neither.

    Raises:
        UserError: the store cannot be used.
    """
    import mlflow

    experiment_id = store.connect()
    with store.explained():
        found = store.find_recorded(mlflow.MlflowClient(), experiment_id, run_id)
    if found is None:
        return None
    # without a model's entry it was cut off as it began: `make sync` resumes it
    name, model_id = str(found.info.run_name), found.data.tags.get(MODEL_ID, "")
    run = Run(found.info.run_id, name, experiment_id, model_id)
    return Tracker(run, found.info.start_time)


@signals.deferred()  # an exception in a transaction leaves SQLite locked
def _give_up(client: "mlflow.MlflowClient", before: "mlflow.entities.RunInfo", how: str) -> None:
    """End the run and its model as they are, but leave finished what was finished before.

    What the store raises now hides no earlier error.
    """
    import mlflow

    finished = before.status == "FINISHED"
    with suppress(Exception):
        model_id = client.get_run(before.run_id).data.tags[MODEL_ID]
        if not log.is_logged(model_id):
            mlflow.finalize_logged_model(model_id, "FAILED")
    with suppress(Exception):
        mlflow.end_run("FINISHED" if finished else how)
    with suppress(Exception):
        ended = before.end_time if finished else None
        client.set_terminated(before.run_id, "FINISHED" if finished else how, ended)


def is_taken(run: "mlflow.entities.Run", lock: Path) -> bool:
    """Whether another process of this machine than the one that has `lock` writes to the run.

    A run that is RUNNING by another machine's word was killed before this one got another name.
    """
    known = run.data.tags
    here = known.get(HOST) == socket.gethostname() and known.get(LOCK) != str(lock.resolve())
    return run.info.status == "RUNNING" and here and is_held(Path(known.get(LOCK, "")))


def is_held(lock: Path) -> bool:
    """Whether a process has the file locked; the system takes the lock from one that ends.

    A file that this user may not open counts as locked: it is another user's. Several may look at
    once, by a lock that they share.
    """
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return False
    except (BlockingIOError, PermissionError):
        return True
    return False


def end_abandoned(client: "mlflow.MlflowClient", experiment_id: str) -> None:
    """End as KILLED each run that is RUNNING although its process on this machine has ended.

    One whose lock this very process has now is left for it to resume.
    """
    here = f"tags.`{HOST}` = '{socket.gethostname()}'"
    for run in client.search_runs([experiment_id], f"attributes.status = 'RUNNING' AND {here}"):
        held = is_held(Path(run.data.tags.get(LOCK, "")))
        # looked at again: its process may have finished it since the search
        if not held and client.get_run(run.info.run_id).info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")


def end_abandoned_runs() -> None:
    """End all such runs of the project; raises UserError if the store cannot be used."""
    import mlflow

    experiment_id = store.connect()
    with store.explained():
        end_abandoned(mlflow.MlflowClient(), experiment_id)
