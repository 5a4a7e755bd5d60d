"""The run of a training in MLflow while it trains: what it depends on, and each epoch.

`sentiment.tracking.publish` logs everything else, from the files.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sentiment.errors import first_line
from sentiment.model.training import EPOCH_METRICS
from sentiment.project import paths, provenance
from sentiment.project.arrays import read_training_splits
from sentiment.project.checkpoint import Journal
from sentiment.project.manifest import TrainingManifest
from sentiment.project.naming import SEPARATOR, training_name
from sentiment.project.signals import Interrupted
from sentiment.tracking import registry

if TYPE_CHECKING:
    import mlflow
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

# Tags of a run. CONTRIBUTING.md says what each of them identifies.
TRAINING_ID = "training_id"
TRAINING_KEY = "training_key"
REPETITION_KEY = "repetition_key"
TEST_SET_DIGEST = "test_set_digest"
MODEL_DIGEST = "model_digest"
EVALUATION_DIGEST = "evaluation_digest"  # of a complete run
# The metric of the epoch whose weights are kept. MLflow shows the last epoch's as val_accuracy.
KEPT_VAL_ACCURACY = "val_accuracy_kept"
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
        self._run_id = ""

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

    def start(self, journal: Journal, manifest: TrainingManifest) -> None:
        """Find or start the run, and log what the training depends on."""
        experiment_id = registry.connect_experiment(manifest.fetch.dataset_name)
        found = find_runs(experiment_id, {TRAINING_ID: journal.training_id})
        run = start_or_resume_run(found[0] if found else None, journal, manifest)
        self._run_id = run.info.run_id
        log_training(manifest, journal.diff)

    def log_epochs(self, history: "pd.DataFrame") -> None:
        """Log the epochs that are not logged yet."""
        self.attempt(log_epochs, self._run_id, history)


@contextmanager
def live_run(journal: Journal, manifest: TrainingManifest) -> Iterator[LiveRun]:
    """Yield the run of a training, which ends with the block.

    Its status is FINISHED, KILLED by a signal, or FAILED.
    """
    import mlflow

    live = LiveRun()
    live.attempt(live.start, journal, manifest)
    try:
        yield live
    except BaseException as error:
        live.attempt(mlflow.end_run, "KILLED" if isinstance(error, Interrupted) else "FAILED")
        raise
    live.attempt(mlflow.end_run)


def start_or_resume_run(
    unfinished: "mlflow.entities.Run | None", journal: Journal, manifest: TrainingManifest
) -> "mlflow.ActiveRun":
    """Start the run of a training, or resume it.

    A new run has its name and its tags at once, so that another process can find it.

    Args:
        unfinished: the run to resume. None: start a new one.
        manifest: what the training depends on.
    """
    import mlflow

    if unfinished is not None:
        return mlflow.start_run(run_id=unfinished.info.run_id)
    name = training_name(manifest.fetch, manifest.pad, manifest.train)
    experiment = journal.tags.get(provenance.DVC_EXPERIMENT)
    return mlflow.start_run(
        run_name=SEPARATOR.join(filter(None, [name, experiment])),
        tags={
            TRAINING_ID: journal.training_id,
            TRAINING_KEY: manifest.training_key,
            REPETITION_KEY: manifest.repetition_key,
            TEST_SET_DIGEST: manifest.test_set_digest,
            SOURCE_NAME: SOURCE,  # also if `sentiment sync` makes the run
            **journal.tags,
        },
        description=f"A training on `{manifest.fetch.dataset_name}` that is not evaluated yet.",
    )


def log_training(manifest: TrainingManifest, diff: str) -> None:
    """Log the params, the uncommitted changes and the datasets of a training to the active run."""
    import mlflow

    mlflow.log_params(manifest.run_params())
    sections = manifest.model_dump(include={"fetch", "pad", "train", "evaluate"})
    mlflow.log_dict(sections, PARAMS_ARTIFACT)
    if diff:
        mlflow.log_text(f"{diff}\n", DIFF_ARTIFACT)
    splits = read_training_splits(manifest.train.validation_split)
    for context, split in zip(("training", "validation"), splits, strict=True):
        log_dataset(manifest, context, split.x, split.y)


def log_epochs(run_id: str, history: "pd.DataFrame") -> None:
    """Log a point for each metric of each epoch that a run lacks.

    Args:
        history: see `sentiment.model.training.Training.history`.
    """
    import mlflow

    # A request logs all metrics of an epoch, so one of them stands for all.
    points = mlflow.MlflowClient().get_metric_history(run_id, EPOCH_METRICS[-1])
    logged = {point.step for point in points}
    for row in history.to_dict("records"):
        if row["epoch"] not in logged:
            values = {name: row[name] for name in EPOCH_METRICS}
            mlflow.log_metrics(values, step=int(row["epoch"]), run_id=run_id)


def log_dataset(
    manifest: TrainingManifest, context: str, x: "NDArray[np.integer]", y: "NDArray[np.integer]"
) -> None:
    """Log a split of `data/pad` as a dataset of the active run.

    Args:
        manifest: what the training depends on.
        context: training, validation or test.
        x: token ids, shape (reviews, max_length).
        y: indices of the labels, shape (reviews,).
    """
    import mlflow
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.numpy_dataset import from_numpy

    source = get_dataset_source_from_json(f'{{"uri": "{paths.PAD_FOLDER}"}}', "local")
    name = f"{manifest.fetch.dataset_name}-{context}"
    mlflow.log_input(from_numpy(x, source, y, name=name), context)


def find_runs(experiment_id: str, tags: Mapping[str, str]) -> "list[mlflow.entities.Run]":
    """Return the runs of an experiment that have these tags, the newest first."""
    import mlflow

    filter_string = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return list(mlflow.MlflowClient().search_runs([experiment_id], filter_string))
