"""`make sync`: log to MLflow what `data/` has and the tracking store lacks, and print the run.

A stage that DVC restores from its cache makes no run, a fresh clone has no tracking store, a
team's server does not know a laptop's runs, and a server that failed has only a part. The run of
these outputs is found, or made from them. Called again, this finds all in place and changes
nothing.
"""

from pathlib import Path

from filelock import FileLock

from sentiment.errors import UserError
from sentiment.network.batches import train_validation_split
from sentiment.serving.keras_classifier import load_keras_model
from workflow import cli, files
from workflow.evaluation import (
    RecordedTraining,
    evaluated_digests,
    publish_outputs,
    read_test,
    read_training,
)
from workflow.files import EVALUATE, PAD, TRAIN
from workflow.params import dataset_name, load_params
from workflow.runs import lifecycle, store
from workflow.runs.links import link
from workflow.runs.logger import Run, RunLogger, has_all
from workflow.runs.training_run import log_data, log_outputs, training_digests


@cli.command(__doc__)
@cli.json_option
def main(as_json: bool) -> None:
    with cli.output_kept(as_json):
        run = synchronize()
    address = link(run.experiment_id, run.run_id)
    document = {"run_id": run.run_id, "name": run.name, "address": address}
    cli.report(document, describe(run), as_json)


def synchronize() -> Run:
    """Log to the tracking store what it lacks of `data/`; return the run.

    A UserError says which files are missing or do not belong together, or what is wrong with the
    store.
    """
    with FileLock(lock()), store.as_user_error():
        lifecycle.end_abandoned_runs()
        run = complete_training(read_training())
        if (EVALUATE / files.ABOUT).exists():
            complete_evaluation(run)
    return run


def describe(run: Run) -> str:
    """A run's id, name and page, in two lines."""
    return f"Run {run.run_id}: {run.name}\n{link(run.experiment_id, run.run_id)}"


def lock() -> Path:
    """The file that is locked while a command synchronizes."""
    return files.root() / f"{store.DATABASE}.sync.lock"


def complete_training(training: RecordedTraining) -> Run:
    """Log what the store lacks of `data/train`; return the run."""
    import mlflow

    client, tags, which = mlflow.MlflowClient(), training.run["tags"], ""
    log = lifecycle.recorded(training.run["run_id"])
    if log:
        run = client.get_run(log.run.run_id)
        if has_all(run.data.tags, TRAIN):
            return log.run
        if lifecycle.is_taken(run, lock()):
            raise UserError(f"Run {log.run.run_id} is still running: wait for it.")
        which = f"attributes.run_id = '{log.run.run_id}'"
    else:
        tags = {**tags, store.RESTORED: training.run["run_id"]}
    if not training_digests().items() <= tags.items():
        raise UserError(f"{PAD} is not what {TRAIN} was trained on: run `dvc repro` first.")
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    parts = train_validation_split(x, y, training.params["train.validation_split"])
    name, begun = training.run["name"], training.run["begun"]
    with lifecycle.start_run(name, training.params, tags, lock(), which, begun) as resumed:
        log_data(resumed, dataset_name(training.params), *parts)
        diff = training.run["uncommitted"]
        tables = training.history, training.gradients
        log_outputs(resumed, load_keras_model(files.checked(TRAIN / "model.keras")), *tables, diff)
    require_complete(resumed)
    # it ended when its training did, not now
    client.set_terminated(resumed.run.run_id, "FINISHED", training.run["ended"])
    return resumed.run


def complete_evaluation(run: Run) -> None:
    """Log what the run lacks of `data/evaluate`."""
    import mlflow

    if has_all(mlflow.MlflowClient().get_run(run.run_id).data.tags, EVALUATE):
        return
    if not evaluated_digests().items() <= files.read_about(EVALUATE)["params"].items():
        print(f"{EVALUATE} is of another model or test set: `dvc repro` makes it anew.")
        return
    metrics = files.read_json(files.checked(EVALUATE / "metrics.json"))
    log = RunLogger(run, 0)
    publish_outputs(log, metrics, read_test(), load_params().promote)
    require_complete(log)


def require_complete(log: RunLogger) -> None:
    """Raise UserError if the store failed meanwhile; why was printed already."""
    if log.lost:
        raise UserError(
            "The run is not complete: run `make sync` again once the tracking store works."
        )


if __name__ == "__main__":
    cli.run("make sync", main)
