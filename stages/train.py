"""Stage 3: train the model, watched by MLflow.

Writes `data/train/`: `model.keras`, `history.csv` (a row an epoch), `gradients.csv` (how far back
the gradient reaches before the first epoch), `metrics.json` (the epoch whose weights are kept),
`run.json` (which MLflow run this is, and what its code had of changes without a commit).

A training that was killed is resumed from the end of its last epoch, see
`sentiment.network.checkpoint`.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from sentiment.data.dataset import dataset_name
from sentiment.errors import NotAllowedError
from sentiment.gradients import measure, reach
from sentiment.network import checkpoint
from sentiment.network.batches import Part, split
from sentiment.network.checkpoint import START, Progress
from sentiment.network.model import inputs_of, save_model
from sentiment.network.train_options import Train
from sentiment.network.training import (
    Trained,
    fit,
    history_of,
    ready_model,
    summarize,
)
from sentiment.section import flatten
from workflow import files, machine, pipeline, process
from workflow.files import PAD, TRAIN
from workflow.outputs import training_digests
from workflow.params import load_params
from workflow.publish import training as publish
from workflow.registry.names import own_name
from workflow.runs import log, parents, tracking
from workflow.runs.names import run_name
from workflow.runs.provenance import provenance, uncommitted_diff
from workflow.runs.tracking import Tracker

if TYPE_CHECKING:
    import keras


class Job(NamedTuple):
    """A training to be done, or to be resumed.

    Attributes:
        params: the `train` section.
        shaping: everything that shapes it, by dotted `params.yaml` names.
        learning: what is trained on.
        validation: what is validated on.
    """

    params: Train
    shaping: dict[str, Any]
    learning: Part
    validation: Part


def read_job() -> Job:
    """Read params and data of the training."""
    params = load_params().train
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    shaping = files.read_about(PAD)["params"] | flatten(params, "train")
    return Job(params, shaping, *split(x, y, params.validation_split))


def read_tags(job: Job) -> dict[str, str]:
    """Tags that lead back from the run: to code, data, packages and machine."""
    computed_by = machine.describe()
    shaping = {"params": job.shaping, "data": training_digests(), "machine": computed_by}
    key = checkpoint.key({**shaping, "code": pipeline.code_digests(["train"])})
    known = {tracking.KEY: key, "dataset": dataset_name(job.shaping)}
    return {**known, **provenance(), **training_digests(), **computed_by}


def initial_gradients(job: Job, model: "keras.Model") -> pd.DataFrame:
    """The table of the gradients before the first step, on reviews that are never trained on."""
    padding_token = job.shaping["pad.padding_token"]
    return measure(model, job.validation.x, padding_token, job.params.gradient_reviews)


def resume(job: Job, model: "keras.Model", kept: Path, tracker: Tracker) -> Trained:
    """Train the model from the newest of the checkpoints in `kept` on, or from the beginning."""
    newest = checkpoint.latest(kept)
    begun = checkpoint.read(newest, model) if newest else START
    if newest:
        print(f"Resuming after epoch {len(begun.rows)} of run {tracker.run.run_id}", flush=True)
        # killed between a checkpoint and its metrics, the run would lack an epoch until the end
        publish.log_history(tracker, history_of(begun.rows))
        if len(begun.rows) >= job.params.epochs:
            print(f"Nothing is left to train: all is in {kept}", flush=True)

    def on_epoch(progress: Progress) -> None:
        checkpoint.write(kept, model, progress)
        tracker.log(log.epoch, len(progress.rows), progress.rows[-1])

    return fit(model, job.learning, job.validation, job.params, on_epoch, begun)


def write(
    folder: Path,
    model: "keras.Model",
    trained: Trained,
    gradients: pd.DataFrame,
    identity: Mapping[str, Any],
) -> None:
    """Write the model, tables, metrics and the run's identity into an empty folder."""
    save_model(model, folder / "model.keras")
    trained.history.to_csv(folder / "history.csv", index=False)
    gradients.to_csv(folder / "gradients.csv", index=False)
    metrics = summarize(trained) | {"initial_gradient_reach": reach(gradients)}
    files.write_json(folder / "metrics.json", metrics)
    files.write_json(folder / "run.json", dict(identity))


def train(job: Job, kept: Path, tracker: Tracker, tags: dict[str, str]) -> None:
    """Train, write `data/train` and log it, resuming from the checkpoints in `kept`."""
    diff = uncommitted_diff()
    publish.log_data(tracker, tags["dataset"], job.learning, job.validation)
    inputs = inputs_of(job.shaping, len(job.learning.y))
    model, path = ready_model(job.params, inputs, job.learning)
    print(f"Training by {path}", flush=True)
    tags = {**tags, "train.path": path}
    tracker.log(log.set_tags, tags)
    tracker.log(parents.link_winner, checkpoint.key(job.shaping))
    gradients = initial_gradients(job, model)
    trained = resume(job, model, kept, tracker)
    identity = {**tracker.run._asdict(), **tracker.times(), "tags": tags, "uncommitted": diff}
    with files.replaced(TRAIN) as folder:
        write(folder, model, trained, gradients, identity)
        files.write_about(folder, job.shaping)
    publish.log_outputs(tracker, model, trained.history, gradients, diff)


def main() -> None:
    job = read_job()
    tags = read_tags(job)
    name = run_name(job.params, job.shaping, tags.get("dvc.experiment"))
    with checkpoint.held(tags[tracking.KEY]) as kept:
        with suppress(NotAllowedError):  # such a training is not logged, see `started`
            own_name(tags["dataset"])  # or `evaluate` would refuse it, after the training
        with tracking.started(
            name,
            job.shaping,
            tags,
            lock=kept / checkpoint.LOCK,
            run_id=checkpoint.read_run(kept),
            note=partial(checkpoint.write_run, kept),
        ) as tracker:
            train(job, kept, tracker, tags)
    print(f"MLflow run {tracker.run.run_id}: {tracker.run.name}")


if __name__ == "__main__":
    process.run_stage("train", main)
