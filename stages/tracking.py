"""The MLflow run of a training, from its first epoch to the logged model.

A store that fails once the run has started costs no epoch: what it did not take is left to
`make sync`, which completes the run from the files.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import psutil
from numpy.typing import NDArray

from stages import files, store
from stages.command import UserError, first_line, uninterrupted

if TYPE_CHECKING:
    import keras
    import mlflow

MODEL = "model"
SERVING_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "mlflow")
KEY = "train.key"  # tag: everything that shapes a training, see stages.checkpoint
# tag: id of the checkpoints by which a training can be gone on with
CHECKPOINT = "train.checkpoint"
MODEL_ID = "model.id"  # tag: the model's entry, which belongs to the run from its start
COMPLETE = "outputs.{}"  # tag: digest of a folder's about.json, once the run holds all of it
BATCH = 1000  # metrics that MLflow takes in one call
CLOCK_SECONDS = 1.5  # the system rounds the moment of its start to a second
DIFF_BYTES = 2**20  # of uncommitted changes kept with a run
# The pipeline's own products: they change in every run and say nothing about what shaped it.
PRODUCTS = (":(exclude)dvc.lock", ":(exclude)data")


class Run(NamedTuple):
    """What identifies a run and its model in the store."""

    run_id: str
    name: str
    experiment_id: str
    model_id: str


class Tracker:
    """Logs to a run until the store fails; that is said once, and later calls do nothing.

    Attributes:
        run: which run it is.
        begun: when it began, in milliseconds since 1970.
        lost: whether the store has failed.
    """

    def __init__(self, run: Run, begun: int) -> None:
        self.run = run
        self.begun = begun
        self.lost = False

    def times(self) -> dict[str, int]:
        """When it began and, if that is now, ended, in milliseconds since 1970."""
        return {"begun": self.begun, "ended": time.time_ns() // 10**6}

    def log(self, write: Callable[..., Any], *given: Any) -> None:
        """Call `write(run, *given)`, which logs something, unless the store has failed."""
        if self.lost:
            return
        try:
            with store.explained(), uninterrupted():
                write(self.run, *given)
        except (UserError, OSError) as error:
            self.lost = True
            print(
                f"{first_line(error)}\n"
                "The work goes on without it; `make sync` logs later what is missing.",
                file=sys.stderr,
                flush=True,
            )


@contextmanager
def started(
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    begun: int | None = None,
    known: str | None = None,
    finished_too: bool = False,
) -> Iterator[Tracker]:
    """Start a run with its params and tags, or go on with one; end it as it went.

    A run of the same checkpoints (tag `CHECKPOINT`) is gone on with, so that a training that was
    killed before it was done leaves no second run.

    The model's entry is made before training, so that MLflow links every epoch's figures to it.

    Args:
        name: what the table calls the run.
        params: everything that shapes it.
        tags: what leads back from it.
        begun: when a new run began, in milliseconds since 1970, if that is not now.
        known: id of a run to go on with, finished or not.
        finished_too: go on with a finished run of the same checkpoints as well, since DVC was
            killed before it took note of its outputs.

    Raises:
        UserError: the store cannot be used at the start.
    """
    import mlflow

    with store.explained(), uninterrupted():
        experiment_id, client = store.connect(), mlflow.MlflowClient()
        sweep(client, experiment_id)
        run_id = known or _begun(client, experiment_id, tags.get(CHECKPOINT), finished_too)
        if run_id is None:
            made = client.create_run(experiment_id, begun, {**tags, **process_tags()}, name)
            run_id = made.info.run_id
        before = client.get_run(run_id).info
    try:
        with store.explained(), uninterrupted():
            tracker = _go_on(run_id, name, dict(params), dict(tags))
        yield tracker
    except BaseException as error:
        with uninterrupted():
            _give_up(client, before, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    tracker.log(lambda _: mlflow.end_run())


def _begun(
    client: "mlflow.MlflowClient", experiment_id: str, checkpoint: str | None, finished_too: bool
) -> str | None:
    """The newest run of these checkpoints that can be gone on with.

    One process at a time has them: a run that is going on here, after the sweep, is that of a copy
    of this folder, and one that says so elsewhere was killed before this machine got another name.
    """
    wanted = f"tags.`{CHECKPOINT}` = '{checkpoint}'"
    for run in client.search_runs([experiment_id], wanted) if checkpoint else []:
        going_on = run.info.status == "RUNNING" and is_here(run.data.tags)
        if not going_on and (finished_too or run.info.status != "FINISHED"):
            return str(run.info.run_id)
    return None


def _go_on(run_id: str, name: str, params: dict[str, Any], tags: dict[str, str]) -> Tracker:
    """Make the run the active one, with all that it needs before its first epoch."""
    import mlflow

    owner = [_tag(*tag) for tag in process_tags().items()]
    mlflow.MlflowClient().log_batch(run_id, tags=owner)  # first: a sweep ends what is RUNNING
    run = mlflow.start_run(run_id=run_id)
    mlflow.set_tags({**tags, "mlflow.runName": name})
    for tag in run.data.tags:
        if tag.startswith("dvc.") and tag not in tags:  # begun by an experiment, gone on by `repro`
            mlflow.delete_tag(tag)
    mlflow.log_params(params)
    model_id = _usable_model(run)
    if model_id is None:
        as_text = {key: str(value) for key, value in params.items()}
        model_id = mlflow.initialize_logged_model(MODEL, params=as_text, tags=tags).model_id
        mlflow.set_tag(MODEL_ID, model_id)
    return Tracker(Run(run_id, name, run.info.experiment_id, model_id), run.info.start_time)


def _usable_model(run: "mlflow.entities.Run") -> str | None:
    """The model's entry of a run, unless there is none or its logging was cut off.

    MLflow links a model to its run before it stores it, and refuses to link it again.
    """

    model_id = run.data.tags.get(MODEL_ID)
    linked = run.outputs.model_outputs if run.outputs else []
    if model_id in {output.model_id for output in linked} and not _is_stored(model_id):
        return None
    return model_id


def _is_stored(model_id: str) -> bool:
    import mlflow

    return str(mlflow.get_logged_model(model_id).status) == "READY"


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
    # without a model's entry it was cut off as it began: `make sync` goes on with it
    name, model_id = str(found.info.run_name), found.data.tags.get(MODEL_ID, "")
    run = Run(found.info.run_id, name, experiment_id, model_id)
    return Tracker(run, found.info.start_time)


def _give_up(client: "mlflow.MlflowClient", before: "mlflow.entities.RunInfo", how: str) -> None:
    """End the run and its model as they are, but leave finished what was finished before.

    What the store says now hides no earlier error.
    """
    import mlflow

    finished = before.status == "FINISHED"
    with suppress(Exception):
        model_id = client.get_run(before.run_id).data.tags[MODEL_ID]
        if not _is_stored(model_id):
            mlflow.finalize_logged_model(model_id, "FAILED")
    with suppress(Exception):
        mlflow.end_run("FINISHED" if finished else how)
    with suppress(Exception):
        ended = before.end_time if finished else None
        client.set_terminated(before.run_id, "FINISHED" if finished else how, ended)


def process_tags() -> dict[str, str]:
    """Tags by which `sweep` tells whether a run's process still exists."""
    process = psutil.Process()
    return {
        "process.host": socket.gethostname(),
        "process.id": str(process.pid),
        "process.started": repr(_started(process)),
    }


def _started(process: psutil.Process) -> float:
    """When it started, in seconds after the system did: setting the clock does not change that."""
    return float(process.create_time() - psutil.boot_time())


def is_here(tags: Mapping[str, str]) -> bool:
    """Whether the process that `process_tags` named is, or was, one of this machine."""
    return tags.get("process.host") == socket.gethostname()


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that `process_tags` named, on this machine, has ended."""
    try:
        process = psutil.Process(int(tags["process.id"]))
        apart = abs(_started(process) - float(tags["process.started"]))
        return process.status() == psutil.STATUS_ZOMBIE or apart > CLOCK_SECONDS
    except psutil.NoSuchProcess:
        return True


def sweep(client: "mlflow.MlflowClient", experiment_id: str) -> None:
    """End as KILLED each run that says RUNNING while its process on this machine is gone."""
    here = f"tags.`process.host` = '{socket.gethostname()}'"
    for run in client.search_runs([experiment_id], f"attributes.status = 'RUNNING' AND {here}"):
        if is_gone(run.data.tags):
            client.set_terminated(run.info.run_id, "KILLED")


def sweep_store() -> None:
    """Do that in the store as a whole; raises UserError if it cannot be used."""
    import mlflow

    experiment_id = store.connect()
    with store.explained():
        sweep(mlflow.MlflowClient(), experiment_id)


def log_epoch(run: Run, epoch: int, figures: Mapping[str, float]) -> None:
    """Log one epoch's figures at its step, at once, so that a training can be watched.

    An epoch that is trained again, since its checkpoint was damaged, is there already.
    """
    import mlflow

    there = mlflow.MlflowClient().get_metric_history(run.run_id, next(iter(figures)))
    if epoch in {point.step for point in there}:
        return
    mlflow.log_metrics(dict(figures), step=epoch, run_id=run.run_id, model_id=run.model_id)


def log_curves(run: Run, history: pd.DataFrame, begun: int) -> None:
    """Log the points that the run or its model lacks: each figure then has one for every epoch.

    Args:
        run: which run.
        history: see `stages.train.Trained`.
        begun: when the training began, in milliseconds since 1970.
    """
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()
    model = client.get_logged_model(run.model_id)
    linked = {(metric.key, metric.step) for metric in model.metrics or []}
    moments = begun + (1000 * history["seconds"].cumsum()).astype(int)
    points = []
    for name in history.columns.drop("epoch"):
        there = {p.step: p.timestamp for p in client.get_metric_history(run.run_id, name)}
        points += [
            Metric(name, float(value), there.get(step, int(moment)), int(step), run.model_id)
            for value, moment, step in zip(history[name], moments, history["epoch"], strict=True)
            if step not in there or (name, step) not in linked
        ]
    for start in range(0, len(points), BATCH):
        client.log_batch(run.run_id, points[start : start + BATCH])


def set_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Tag the run with what is known only once it goes on."""
    import mlflow

    mlflow.MlflowClient().log_batch(run.run_id, tags=[_tag(*tag) for tag in tags.items()])


def _tag(key: str, value: str) -> Any:
    from mlflow.entities import RunTag

    return RunTag(key, value)


def log_dataset(
    run: Run,
    name: str,
    context: str,
    arrays: tuple[NDArray[Any], NDArray[Any]],
    source: Path,
    digest: str,
) -> None:
    """Record, once, that the run uses `arrays`, token ids and labels, from `source`."""
    import mlflow
    from mlflow.entities import DatasetInput, InputTag

    client = mlflow.MlflowClient()
    inputs = client.get_run(run.run_id).inputs
    if inputs and digest in {there.dataset.digest for there in inputs.dataset_inputs}:
        return
    entity = store.dataset(name, *arrays, source, digest)._to_mlflow_entity()
    tags = [InputTag("mlflow.data.context", context)]
    client.log_inputs(run.run_id, [DatasetInput(entity, tags)])


def log_figures(run: Run, figures: Mapping[str, float], dataset: str, digest: str) -> None:
    """Log figures of the model on a data set, without a step."""
    import mlflow
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    metrics = [
        Metric(key, value, now, 0, run.model_id, dataset, digest) for key, value in figures.items()
    ]
    mlflow.MlflowClient().log_batch(run.run_id, metrics)


def holds(tags: Mapping[str, str], folder: Path) -> bool:
    """Whether a run, by its tags, holds all of a stage's folder as it is now."""
    told = tags.get(COMPLETE.format(folder.name))
    return (folder / files.ABOUT).exists() and told == files.sha256(folder / files.ABOUT)


def log_folder(run: Run, folder: Path, names: list[str], place: str) -> None:
    """Log files of a stage's folder, those of the names that are there, to `place` in the run."""
    import mlflow

    for name in names:
        if (folder / name).exists():
            mlflow.MlflowClient().log_artifact(run.run_id, str(folder / name), place)


def log_model(run: Run, model: "keras.Model", example: NDArray[np.int32], epochs: int) -> None:
    """Log the Keras model with its signature, an input example and the packages to serve it.

    The run must be the active one. `epochs` is the step at which its curves end: MLflow links the
    run's points at that step to the model, and fails over the test's figures, which have step 0.
    """
    import keras
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    if _is_stored(run.model_id):
        return
    keras.utils.disable_interactive_logging()  # MLflow tries the example: no progress bar for that
    mlflow.tensorflow.log_model(
        model,
        name=MODEL,
        model_id=run.model_id,
        step=epochs,
        signature=ModelSignature(
            Schema([TensorSpec(np.dtype("int32"), (-1, example.shape[1]))]),
            Schema([TensorSpec(np.dtype("float32"), (-1, 1))]),
        ),
        input_example=example,
        pip_requirements=serving_requirements(),
    )


def serving_requirements() -> list[str]:
    """The packages that serve a model; MLflow's own inference of them takes a quarter minute."""
    return [f"{package}=={version(package)}" for package in SERVING_PACKAGES]


def provenance() -> dict[str, str]:
    """Tags that lead from a run back to its code: git commit and DVC experiment."""
    tags = {"git.commit": _git("rev-parse", "HEAD")}
    if tags["git.commit"]:
        changes = _git("status", "--porcelain", "--", ".", *PRODUCTS)
        tags["git.uncommitted_changes"] = changes or "none"
    tags["dvc.experiment"] = os.environ.get("DVC_EXP_NAME", "")
    tags["dvc.baseline"] = os.environ.get("DVC_EXP_BASELINE_REV", "")
    return {key: value for key, value in tags.items() if value}


def uncommitted_diff() -> str:
    """What git would show of changes since the commit; a long one is cut, and says so."""
    parts = [_git("diff", "HEAD", "--", ".", *PRODUCTS), *_untracked()]
    diff = "\n".join(filter(None, parts)).encode()
    kept = diff[:DIFF_BYTES].decode(errors="ignore")
    return kept if len(diff) <= DIFF_BYTES else f"{kept}\n[cut: {len(diff):,} bytes in all]\n"


def _untracked() -> Iterator[str]:
    """Each file that git neither tracks nor ignores, as a diff; of a large one just the name."""
    listed = _git("ls-files", "--others", "--exclude-standard", "-z", "--", ".", *PRODUCTS)
    for name in filter(None, listed.split("\0")):
        size = Path(name).stat().st_size if Path(name).is_file() else 0
        if size > DIFF_BYTES:
            yield f"[untracked: {name}, {size:,} bytes]"
        else:
            yield _git("diff", "--no-index", "--", os.devnull, name, differing=1)


def _git(*arguments: str, differing: int = 0) -> str:
    """The output of a git command, empty where there is no git or no repository.

    Args:
        arguments: the command.
        differing: a further exit status that is no failure.
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except OSError:
        return ""
    if done.returncode not in (0, differing):
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n")
