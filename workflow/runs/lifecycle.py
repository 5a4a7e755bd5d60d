"""The life of a training's MLflow run: started or resumed, and ended as the training ended.

A tracking store that fails once the run has started costs no epoch: what it lacks is left to
`make sync`, which completes the run from the files.
"""

import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sentiment.errors import NotAllowedError
from workflow import signals
from workflow.runs import logger, store
from workflow.runs.logger import Run, RunLogger, guarded

if TYPE_CHECKING:
    import mlflow

KEY = "train.key"  # tag: everything that shapes a training, see training_run
MODEL_ID = "model.id"  # tag: the model's entry, which belongs to the run from its start
# tags: the machine and, on it, the process that the run belongs to and the file that it has locked
HOST, PROCESS, LOCK = "process.host", "process.id", "process.lock"


@contextmanager
def start_run(
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    lock: Path,
    which: str = "",
    begun: int | None = None,
    with_model: bool = True,
) -> Iterator[RunLogger]:
    """Start a run with its params and tags, or resume one; end it as the block ends.

    Args:
        name, params, tags: of the run: what the table calls it, what shapes it, what leads back.
        lock: a file that this process has locked for as long as the run lasts.
        which: MLflow's filter of the runs to resume, finished or not. A new one is started if
            there is none, or another process writes to it, in a copy of this folder say.
        begun: when a new run began, in milliseconds since 1970, if that is not now.
        with_model: whether it gets an entry for its model.

    A UserError is raised where the store cannot be used at the start.
    """
    import mlflow

    # tags that name this process as the run's, by which others tell whether it still runs
    owner = {HOST: socket.gethostname(), PROCESS: str(os.getpid()), LOCK: str(lock.resolve())}
    tags, before = {**tags, **owner}, None
    try:
        try:
            with signals.deferred(), store.as_user_error():
                before = _find_or_create(name, tags, lock, which, begun)
                run = _activate(before.info.run_id, name, params, tags, with_model)
            log = RunLogger(run, before.info.start_time)
        except NotAllowedError as error:
            print(f"The run is not logged: {error}", file=sys.stderr, flush=True)
            log = RunLogger(Run(uuid4().hex, name, "", ""), logger.now(), lost=True)
        yield log
    except BaseException as error:
        failed = isinstance(error, Exception) and not signals.has_come()
        if before:
            _give_up(before.info, "FAILED" if failed else "KILLED")
        raise
    guarded(lambda _: mlflow.end_run())(log)


def _find_or_create(
    name: str, tags: Mapping[str, str], lock: Path, which: str, begun: int | None
) -> "mlflow.entities.Run":
    """The run to resume, or a new one."""
    import mlflow

    experiment_id, client = end_abandoned_runs(), mlflow.MlflowClient()
    runs = client.search_runs([experiment_id], which) if which else []
    own = sorted(runs, key=lambda run: run.data.tags.get(LOCK) != tags[LOCK])  # a copy's are last
    free = (run for run in own if not is_taken(run, lock))
    return next(free, None) or client.create_run(experiment_id, begun, dict(tags), name)


def _activate(
    run_id: str, name: str, params: Mapping[str, Any], tags: dict[str, str], with_model: bool
) -> Run:
    """Make the run the active one, with all that it needs before its first epoch.

    The model's entry is made before training, so that MLflow links every epoch's metrics to it.
    """
    import mlflow
    from mlflow.entities import RunTag

    # first: by these `end_abandoned_runs` knows whether the run's process is alive
    named = {**tags, "mlflow.runName": name}
    mlflow.MlflowClient().log_batch(run_id, tags=[RunTag(*tag) for tag in named.items()])
    run = mlflow.start_run(run_id=run_id)
    mlflow.log_params(dict(params))
    model_id = _usable_model(run) if with_model else ""
    if model_id is None:
        as_text = {key: str(value) for key, value in params.items()}
        model_id = mlflow.initialize_logged_model(logger.MODEL, params=as_text, tags=tags).model_id
        mlflow.set_tag(MODEL_ID, model_id)
    return Run(run_id, name, run.info.experiment_id, model_id)


def _usable_model(run: "mlflow.entities.Run") -> str | None:
    """The model's entry, unless there is none or its logging was cut off.

    MLflow links a model to its run before it stores it, and refuses to link it again.
    """
    model_id = run.data.tags.get(MODEL_ID)
    linked = run.outputs.model_outputs if run.outputs else []
    if model_id in {output.model_id for output in linked} and not logger.is_logged(model_id):
        return None
    return model_id


def recorded(run_id: str) -> RunLogger | None:
    """Log to the run that outputs name, or to the one made from them; None if there is neither.

    A UserError is raised where the store cannot be used.
    """
    import mlflow

    experiment_id = store.connect()
    with store.as_user_error():
        run = store.find_run(mlflow.MlflowClient(), experiment_id, run_id)
    if run is None:
        return None
    # without a model's entry it was cut off as it began: `make sync` resumes it
    name, model_id = str(run.info.run_name), run.data.tags.get(MODEL_ID, "")
    return RunLogger(Run(run.info.run_id, name, experiment_id, model_id), run.info.start_time)


@signals.deferred()  # an exception in a transaction leaves SQLite locked
def _give_up(before: "mlflow.entities.RunInfo", how: str) -> None:
    """End the run and its model as they are, but leave finished what was finished before.

    What the store raises now hides no earlier error.
    """
    import mlflow

    client, finished = mlflow.MlflowClient(), before.status == "FINISHED"
    status, ended = ("FINISHED", before.end_time) if finished else (how, None)
    with suppress(Exception):
        model_id = client.get_run(before.run_id).data.tags[MODEL_ID]
        if not logger.is_logged(model_id):
            mlflow.finalize_logged_model(model_id, "FAILED")
    with suppress(Exception):
        mlflow.end_run(status)
    with suppress(Exception):
        client.set_terminated(before.run_id, status, ended)


def is_taken(run: "mlflow.entities.Run", lock: Path) -> bool:
    """Whether another process of this machine than the one that has `lock` writes to the run.

    A run that is RUNNING by another machine's word was killed before this one got another name.
    """
    tags = run.data.tags
    here = tags.get(HOST) == socket.gethostname() and tags.get(LOCK) != str(lock.resolve())
    return run.info.status == "RUNNING" and here and is_held(Path(tags.get(LOCK, "")))


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


def end_abandoned_runs() -> str:
    """End as KILLED each run that is RUNNING although its process on this machine has ended.

    One whose lock this very process has now is left for it to resume. Returns the experiment's id;
    a UserError is raised where the store cannot be used.
    """
    import mlflow

    experiment_id, client = store.connect(), mlflow.MlflowClient()
    here = f"tags.`{HOST}` = '{socket.gethostname()}'"
    with store.as_user_error():
        for run in client.search_runs([experiment_id], f"attributes.status = 'RUNNING' AND {here}"):
            ended = not is_held(Path(run.data.tags.get(LOCK, "")))
            # looked at again: its process may have finished it since the search
            if ended and client.get_run(run.info.run_id).info.status == "RUNNING":
                client.set_terminated(run.info.run_id, "KILLED")
    return experiment_id
