"""Make the store tell what `data/` holds: find the run of these outputs, or make it from them.

A stage that DVC restores from its cache makes no run, a fresh clone has no store, a team's server
does not know a laptop's runs, and a server that failed took only a part. Called again, this finds
all in place and changes nothing.
"""

from pathlib import Path

from filelock import FileLock

from stages import evaluate, files, store, tracking, train
from stages.command import UserError, tool
from stages.params import load_params


def main() -> None:
    with FileLock(store.root() / f"{store.DATABASE}.sync.lock"):
        tracking.sweep_store()
        training = evaluate.read_training()
        run = catch_up_training(training)
        if evaluate.FOLDER.exists():
            catch_up_evaluation(run)
    print(f"Run {run.run_id}: {run.name}\n{store.link(run.experiment_id, run.run_id)}")


def catch_up_training(training: evaluate.Training) -> tracking.Run:
    """Return the run of a training, which then holds all that `data/train` does."""
    tracker = tracking.recorded(training.run["run_id"])
    if tracker and is_complete(tracker.run, train.FOLDER):
        return tracker.run
    if tracker:
        check_idle(tracker.run)
    tags, begun = training.run["tags"], training.run["begun"]
    if tracker is None:  # made from the files, not a training that could be gone on with
        tags = {key: text for key, text in tags.items() if key != tracking.CHECKPOINT}
        tags[store.RESTORED] = training.run["run_id"]
    check_data(tags)
    x, y = files.read_arrays(train.PAD, ["x_train", "y_train"])
    parts = train.split(x, y, training.params["train.validation_split"])
    known = tracker.run.run_id if tracker else None
    with tracking.started(training.run["name"], training.params, tags, begun, known) as going:
        train.log_data(going, training.params["fetch.dataset"], *parts)
        train.log(going, evaluate.read_model(), training.history, x[:2])
    succeed(going)
    end(going.run, training.run["ended"])
    return going.run


def catch_up_evaluation(run: tracking.Run) -> None:
    """Let the run hold all that `data/evaluate` does."""
    if is_complete(run, evaluate.FOLDER):
        return
    if not evaluate.evaluated().items() <= files.read_about(evaluate.FOLDER)["params"].items():
        print(f"{evaluate.FOLDER} is of another model or test set: `dvc repro` makes it anew.")
        return
    metrics = files.read_json(evaluate.checked(evaluate.FOLDER / "metrics.json"))
    tracker = tracking.Tracker(run, 0)
    evaluate.log(tracker, metrics, evaluate.read_test(), load_params().promote)
    succeed(tracker)


def is_complete(run: tracking.Run, folder: Path) -> bool:
    """Whether the run says that it holds all of a stage's folder as it is now."""
    import mlflow

    with store.explained():
        tags = mlflow.MlflowClient().get_run(run.run_id).data.tags
    return tracking.holds(tags, folder)


def check_idle(run: tracking.Run) -> None:
    """Leave a run alone that its training still writes to; raises UserError."""
    import mlflow

    with store.explained():
        found = mlflow.MlflowClient().get_run(run.run_id)
    process = found.data.tags.get("process.id")
    if found.info.status == "RUNNING" and tracking.is_here(found.data.tags):
        raise UserError(f"Run {run.run_id} is still going on, in process {process}: wait for it.")


def check_data(tags: dict[str, str]) -> None:
    """Refuse to name data in the run that it was not trained on; raises UserError."""
    if not train.data_tags().items() <= tags.items():
        raise UserError(
            f"{train.PAD} is not what {train.FOLDER} was trained on: run `dvc repro` first."
        )


def succeed(tracker: tracking.Tracker) -> None:
    """End with a failure if the store failed meanwhile; why was said already."""
    if tracker.lost:
        raise UserError("The run is not whole yet: run `make sync` again once the store works.")


def end(run: tracking.Run, ended: int) -> None:
    """Let the run end when its training did, not now."""
    import mlflow

    with store.explained():
        mlflow.MlflowClient().set_terminated(run.run_id, "FINISHED", ended)


if __name__ == "__main__":
    tool("make sync", main)
