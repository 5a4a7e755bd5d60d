"""The run of a training in MLflow while it trains: what it depends on, and each epoch.

`tracking.publish` logs everything else, from the files.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sentiment.errors import first_line
from sentiment.network.batches import train_validation_split
from sentiment.network.training import EPOCH_METRICS
from sentiment.params import flatten_used
from tracking import registry
from workflow import files, provenance
from workflow.checkpoint import Checkpoint, Journal
from workflow.files import TrainInputs
from workflow.presets import find_preset
from workflow.stage import Interrupted

if TYPE_CHECKING:
    import mlflow
    import numpy as np
    from numpy.typing import NDArray

# Tags of a run
TRAINING_ID = "training.id"  # see `workflow.checkpoint.Journal`
TRAINING_KEY = "training.key"  # see `workflow.training_key`
REPETITION_KEY = "training.repetition_key"  # likewise
TEST_SET = "test_set"  # see `workflow.files.FetchInputs`
SOURCE_NAME = "mlflow.source.name"
SOURCE = "stages/train.py"
# Artifacts
PARAMS_ARTIFACT = "params.yaml"
DIFF_ARTIFACT = "uncommitted.diff"
SYNC_ADVICE = (
    "Run `sentiment sync` later to log the rest; for a DVC experiment, `dvc exp apply` it first."
)


class LiveRun:
    """The run of a training in progress. If the store fails, the training continues without it."""

    def __init__(self) -> None:
        self.is_store_usable = True
        self._epochs_logged = 0

    def attempt(self, log: Callable[..., object], *arguments: Any) -> None:
        """Call a function that uses MLflow, unless MLflow has failed before."""
        if not self.is_store_usable:
            return
        try:
            log(*arguments)
        except Exception as error:  # no error while logging is worth a training
            self.is_store_usable = False
            print(
                f"Logging to MLflow has stopped. {SYNC_ADVICE} ({first_line(error)})",
                file=sys.stderr,
                flush=True,
            )
            with suppress(Exception):  # MLflow would try again when the process exits
                import mlflow

                mlflow.end_run("FAILED")

    def log_new_epochs(self, epochs: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs that this process has not logged yet."""
        self.attempt(log_epochs, epochs, self._epochs_logged)
        self._epochs_logged = len(epochs)


def begin_journal(checkpoint: Checkpoint) -> Journal:
    """Write the journal of a new training, and print what its diff lacks."""
    changes = provenance.uncommitted_changes()
    journal = Journal(tags=provenance.provenance_tags(changes), diff=changes.diff)
    checkpoint.write_journal(journal)
    if changes.missing:
        print(f"The diff in the run is not complete: {'; '.join(changes.missing)}", flush=True)
    return journal


@contextmanager
def live_run(journal: Journal, inputs: TrainInputs) -> Iterator[LiveRun]:
    """Start the run of a training, or resume it.

    The run ends with the block: FINISHED, KILLED by a signal, or FAILED.
    """
    import mlflow

    live = LiveRun()
    live.attempt(start_run, journal, inputs)
    try:
        yield live
    except BaseException as error:
        live.attempt(mlflow.end_run, "KILLED" if isinstance(error, Interrupted) else "FAILED")
        raise
    live.attempt(mlflow.end_run)


def start_run(journal: Journal, inputs: TrainInputs) -> "mlflow.ActiveRun":
    """Start the run of a training, or resume it, and log what the training depends on."""
    import mlflow

    experiment_id = registry.connect_experiment(inputs.fetch.dataset_name)
    found = find_or_restore_run(experiment_id, {TRAINING_ID: journal.training_id})
    preset = find_preset(inputs.pad, inputs.train)
    name = provenance.run_name(preset, inputs.fetch, inputs.pad, inputs.train)
    experiment = journal.tags.get(provenance.DVC_EXPERIMENT_TAG)
    run = mlflow.start_run(
        run_id=found.info.run_id if found else None,
        run_name=provenance.SEPARATOR.join(filter(None, [name, experiment])),
        tags={
            TRAINING_ID: journal.training_id,
            TRAINING_KEY: inputs.key,
            REPETITION_KEY: inputs.repetition_key,
            TEST_SET: inputs.test_set,
            SOURCE_NAME: SOURCE,  # also if `sentiment sync` makes the run
            **journal.tags,
        },
        description=f"A training on `{inputs.fetch.dataset_name}` that is not evaluated yet.",
    )
    mlflow.log_params(flatten_used(inputs.fetch, inputs.pad, inputs.train))
    log_input_files(run, inputs, journal.diff)
    x = files.read_array(files.PAD_FOLDER / "x_train.npy")
    y = files.read_array(files.PAD_FOLDER / "y_train.npy")
    splits = train_validation_split(x, y, inputs.train.validation_split)
    for context, split in zip(("training", "validation"), splits, strict=True):
        log_dataset(inputs, context, split.x, split.y)
    return run


def log_input_files(run: "mlflow.entities.Run", inputs: TrainInputs, diff: str) -> None:
    """Log all params that a run depends on, and the uncommitted changes, as files."""
    import mlflow

    client = mlflow.MlflowClient()
    sections = inputs.model_dump(include={"fetch", "pad", "train", "evaluate"})
    client.log_dict(run.info.run_id, sections, PARAMS_ARTIFACT)
    if diff:
        client.log_text(run.info.run_id, f"{diff}\n", DIFF_ARTIFACT)


def log_epochs(epochs: Sequence[Mapping[str, float]], first: int = 0) -> None:
    """Log a point for each metric of each epoch to the active run.

    MLflow keeps one of equal points, so epochs may be logged again.

    Args:
        epochs: see `sentiment.network.training.EPOCH_COLUMNS`; `seconds` may be missing.
        first: number of epochs to leave out.
    """
    import mlflow

    for step, epoch in enumerate(epochs[first:], first + 1):
        values = {name: epoch[name] for name in (*EPOCH_METRICS, "seconds") if name in epoch}
        mlflow.log_metrics(values, step=step, timestamp=int(1000 * epoch["ended"]))


def log_dataset(
    inputs: TrainInputs, context: str, x: "NDArray[np.integer]", y: "NDArray[np.integer]"
) -> None:
    """Log a split of `data/pad` as a dataset of the active run, with DVC's hash of that folder.

    Args:
        inputs: what the training depends on.
        context: training, validation or test.
        x: token ids, shape (reviews, max_length).
        y: labels, shape (reviews,).
    """
    import mlflow
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.numpy_dataset import from_numpy

    source = get_dataset_source_from_json(f'{{"uri": "{files.PAD_FOLDER}"}}', "local")
    name = f"{inputs.fetch.dataset_name}-{context}"
    digest = files.dvc_hash(files.PAD_FOLDER)
    mlflow.log_input(from_numpy(x, source, y, name=name, digest=digest), context)


def find_or_restore_run(
    experiment_id: str, tags: Mapping[str, str]
) -> "mlflow.entities.Run | None":
    """Return the newest run of an experiment that has these tags.

    If all such runs were deleted, the newest one is restored.
    """
    import mlflow
    from mlflow.entities import ViewType

    client = mlflow.MlflowClient()
    filter_string = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY):
        found = client.search_runs([experiment_id], filter_string, view, max_results=1)
        if found:
            run_id = found[0].info.run_id
            if view == ViewType.DELETED_ONLY:
                client.restore_run(run_id)
            return client.get_run(run_id)
    return None
