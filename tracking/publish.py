"""Log the files in `data/` and `metrics/` to MLflow, as one run and one version.

The stage `evaluate` and `sentiment sync` do the same. The tag `evaluation` says which evaluation a
run has completely. It is written after everything else, so a publication that was cut short is done
again, in the same run. A complete run gets back what was deleted in MLflow, and nothing else
changes.
"""

import hashlib
import sys
import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from ruamel.yaml import YAML

from sentiment.errors import AlreadyRunningError, StoreError, UserError, first_line
from sentiment.network.training import EPOCH_METRICS
from sentiment.params import flatten
from tracking import card, champion, models, registry, runs, store, versions
from tracking.promotion import is_correct
from tracking.runs import SYNC_ADVICE, TRAINING_ID, TRAINING_KEY
from tracking.versions import Evaluation
from workflow import files, provenance
from workflow.checkpoint import (
    Checkpoint,
    Journal,
    exclusive_checkpoint,
    new_id,
    remove_stale_checkpoints,
    unused_checkpoints,
)
from workflow.files import (
    EVALUATE_FOLDER,
    FETCH_FOLDER,
    PAD_FOLDER,
    PREDICTIONS_FILE,
    TRAIN_FOLDER,
    EvaluateInputs,
)
from workflow.params_file import read_yaml

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

EVALUATION = "evaluation"  # tag of a run: a digest of the evaluation that it has completely
TABLES_ARTIFACT = "metrics"
# The folders whose stages have an entry in dvc.lock while `evaluate` runs.
LOCKED_FOLDERS = (FETCH_FOLDER, PAD_FOLDER, TRAIN_FOLDER)
# Curves over the distance from the last word, and their columns in the table of gradients. MLflow
# sorts its charts by name: these come after accuracy and loss.
GRADIENT_CURVES = {"word_gradient": "mean", "word_gradient_initial": "initial_mean"}
METRICS_AT_ONCE = 1000  # the most that one request takes
EVALUATION_WAIT_SECONDS = 60.0  # another evaluation of the same training takes seconds
FROM_FILES = (
    "Made from files alone: nobody knows any more which commit and processor trained this model, "
    "and when."
)


class PublishedRun(NamedTuple):
    """A run that has the evaluation in `data/evaluate`."""

    run_id: str
    name: str
    experiment_id: str
    test_accuracy: float

    def describe(self, has_run: bool | None) -> str:
        """Return lines with the result, and where to look at the run and at all runs.

        Args:
            has_run: see `tracking.store.ui_has_run`.
        """
        pages = store.describe_pages(self.experiment_id, self.run_id, has_run)
        return f"Test accuracy {self.test_accuracy:.4f}: {self.name}, run {self.run_id}\n{pages}"


def sync(alpha: float) -> PublishedRun:
    """End the runs of processes that were killed, publish the files, and remove old checkpoints.

    Raises:
        StoreError: the store cannot be used.
        UserError: see `publish`.
    """
    with store.store_errors():
        end_killed_runs()
    published = publish(alpha)
    remove_stale_checkpoints()
    return published


def publish_or_explain(alpha: float) -> None:
    """Publish the files, or print what to do if the store fails."""
    try:
        publish(alpha)
    except (StoreError, AlreadyRunningError, OSError) as error:
        print(
            f"data/ is complete but not logged to MLflow. {SYNC_ADVICE} ({first_line(error)})",
            file=sys.stderr,
            flush=True,
        )


def publish(alpha: float) -> PublishedRun:
    """Log everything in `data/` that MLflow lacks, and let the rule decide about the model.

    A second call changes nothing.

    Args:
        alpha: see `tracking.promotion`.

    Returns:
        The run.

    Raises:
        StoreError: the store cannot be used.
        UserError: files are missing, damaged or do not belong together, or the training is running.
    """
    import mlflow

    evaluation = versions.read_evaluation(EVALUATE_FOLDER, EvaluateInputs)
    inputs = evaluation.inputs
    digest = evaluation_digest(inputs)
    with (
        store.store_errors(),
        exclusive_checkpoint(inputs.key, EVALUATION_WAIT_SECONDS) as checkpoint,
    ):
        check_unchanged(inputs)
        experiment_id = registry.connect_experiment(inputs.fetch.dataset_name)
        journal = checkpoint.claim_journal(digest)
        run = find_published_run(experiment_id, inputs, digest, journal)
        if run is None or run.data.tags.get(EVALUATION) != digest:
            journal = journal or begin_journal_from_files(checkpoint, digest)
            with runs.start_run(journal, inputs) as run:
                version = log_evaluation(run, journal, evaluation)
                check_unchanged(inputs)
                mlflow.set_tag(EVALUATION, digest)
        else:
            version = restore_deleted(run, journal, evaluation)
        checkpoint.remove_ended_state()
        champion.decide(version, evaluation, alpha)
    accuracy = float(is_correct(evaluation.predictions).mean())
    return PublishedRun(run.info.run_id, str(run.info.run_name), experiment_id, accuracy)


def check_unchanged(inputs: EvaluateInputs) -> None:
    """Check that the files are whole, and still those of an evaluation.

    Raises:
        UserError: they are not.
    """
    files.check_folders(FETCH_FOLDER, PAD_FOLDER, TRAIN_FOLDER, EVALUATE_FOLDER)
    if files.read_inputs(EVALUATE_FOLDER, EvaluateInputs) != inputs:
        raise UserError(
            f"{files.DATA} was changed while it was logged, by another training. Run `sentiment "
            "sync` again."
        )


def log_evaluation(
    run: "Run", journal: Journal, evaluation: Evaluation[EvaluateInputs]
) -> "ModelVersion":
    """Log everything to the active run, which has what the training depends on.

    Args:
        run: the run.
        journal: its journal.
        evaluation: its evaluation.

    Returns:
        The version of the model.
    """
    runs.log_epochs(journal.epochs or [])
    log_evaluation_inputs(run, evaluation.inputs)
    log_description(run, journal, evaluation)
    return log_outputs(run, evaluation)


def restore_deleted(
    run: "Run", journal: Journal | None, evaluation: Evaluation[EvaluateInputs]
) -> "ModelVersion":
    """Log again what may have been deleted of a complete run, and return its version.

    Args:
        run: the run.
        journal: its journal. None: another clone has made it.
        evaluation: its evaluation.
    """
    import mlflow

    runs.log_input_files(run, evaluation.inputs, journal.diff if journal else "")
    log_lock_file(run)
    # The journal has the note that the description begins with. The card takes a second.
    if journal is not None and not run.data.tags.get(store.DESCRIPTION):
        log_description(run, journal, evaluation)
    version = log_outputs(run, evaluation)
    if run.info.status != "FINISHED":  # the process was killed before it could say so
        mlflow.MlflowClient().set_terminated(run.info.run_id)
    return version


def evaluation_digest(inputs: EvaluateInputs) -> str:
    """Return a digest of the predictions in `data/evaluate` and of the params of the evaluation."""
    predictions = files.read_manifest(EVALUATE_FOLDER).files[PREDICTIONS_FILE.as_posix()]
    text = predictions + inputs.evaluate.model_dump_json()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_published_run(
    experiment_id: str, inputs: EvaluateInputs, digest: str, journal: Journal | None
) -> "Run | None":
    """Return the run that has an evaluation or will have it, or None if the store has none.

    Args:
        experiment_id: its experiment.
        inputs: what the evaluation depends on.
        digest: see `evaluation_digest`.
        journal: the journal of the run. None: another clone has made it, if anyone has.
    """
    if journal is not None:
        return runs.find_or_restore_run(experiment_id, {TRAINING_ID: journal.training_id})
    return runs.find_or_restore_run(experiment_id, {TRAINING_KEY: inputs.key, EVALUATION: digest})


def begin_journal_from_files(checkpoint: Checkpoint, digest: str) -> Journal:
    """Write the journal of another run of the training in `data/train`, and return it.

    It has what the journal of an earlier run of the training has. If there is none, nobody knows
    where the training comes from, and its epochs end now.

    Args:
        checkpoint: the checkpoint of the training.
        digest: see `evaluation_digest`.
    """
    ended = [journal for journal in checkpoint.journals() if journal.epochs is not None]
    if ended:
        journal = ended[0].model_copy(update={"training_id": new_id()})
    else:
        history = pd.read_csv(files.HISTORY_FILE)[list(EPOCH_METRICS)].assign(ended=time.time())
        epochs = [
            dict(zip(history.columns, row, strict=True)) for row in history.to_numpy().tolist()
        ]
        journal = Journal(
            tags=dict.fromkeys((provenance.COMMIT, provenance.BRANCH), "unknown"),
            note=FROM_FILES,
            epochs=epochs,
        )
    checkpoint.write_journal(journal, digest)
    return journal


def log_evaluation_inputs(run: "Run", inputs: EvaluateInputs) -> None:
    """Log what an evaluation depends on to a run that has what the training depends on."""
    import mlflow

    mlflow.log_params(flatten(inputs.evaluate, "evaluate"))
    x = files.read_array(PAD_FOLDER / "x_test.npy")
    y = files.read_array(PAD_FOLDER / "y_test.npy")
    runs.log_dataset(inputs, "test", x, y)
    if not log_lock_file(run):
        print(f"{files.DVC_LOCK} does not describe data/, so the run does not have it.", flush=True)


def log_lock_file(run: "Run") -> bool:
    """Log the entries of dvc.lock, and return whether it has them."""
    import mlflow

    entries = dvc_lock_entries()
    if entries:
        text = StringIO()
        YAML().dump({"schema": "2.0", "stages": entries}, text)
        mlflow.MlflowClient().log_text(run.info.run_id, text.getvalue(), files.DVC_LOCK.name)
    return bool(entries)


def dvc_lock_entries() -> dict[str, Any]:
    """Return the entries of dvc.lock that tell how `data/train` was made.

    They are empty if dvc.lock is of other data: a stage may have been run without DVC.
    """
    try:
        stages = read_yaml(files.DVC_LOCK)["stages"]
    except (UserError, TypeError, KeyError):  # it is missing, empty or damaged
        return {}
    for folder in LOCKED_FOLDERS:
        outs = stages.get(folder.name, {}).get("outs", [])
        hashes = {out["path"]: out["md5"] for out in outs}
        if hashes.get(folder.as_posix()) != files.dvc_hash(folder):
            return {}
    return {folder.name: stages[folder.name] for folder in LOCKED_FOLDERS}


def log_description(run: "Run", journal: Journal, evaluation: Evaluation[EvaluateInputs]) -> None:
    """Log the card as the description of a run."""
    import mlflow

    text = card.describe_evaluation(*evaluation)
    data = card.describe_data(run.info.run_id) if dvc_lock_entries() else ""
    description = "\n\n".join(filter(None, [journal.note, text, data]))
    mlflow.MlflowClient().set_tag(run.info.run_id, store.DESCRIPTION, description)


def log_outputs(run: "Run", evaluation: Evaluation[EvaluateInputs]) -> "ModelVersion":
    """Log what the stages wrote, and return the version of the model.

    MLflow keeps one of equal points, and a file takes the place of one with the same name. Models
    and the version, which take seconds and space, are logged if the run lacks them.
    """
    import mlflow

    metrics = files.read_json(files.TEST_METRICS_FILE)
    log_points(run, metrics)
    client = mlflow.MlflowClient()
    for folder in (TRAIN_FOLDER, EVALUATE_FOLDER):
        for name in files.read_manifest(folder).files:
            path = Path(name)
            if path.parent == files.METRICS_FOLDER:
                client.log_artifact(run.info.run_id, name, TABLES_ARTIFACT)
            elif path.parent == EVALUATE_FOLDER:
                client.log_artifact(run.info.run_id, name)
    client.log_artifact(run.info.run_id, str(EVALUATE_FOLDER / files.INPUTS))
    inputs = evaluation.inputs
    model = models.log_models(run, inputs, metrics, lambda: check_unchanged(inputs))
    return ensure_version(run, str(model.model_id), evaluation, metrics["test_accuracy"])


def log_points(run: "Run", metrics: Mapping[str, float]) -> None:
    """Log the metrics of the test set, the summary of the training and the gradient curves.

    They have no time of their own, so they get that of the run's start: the same points again are
    equal, and MLflow keeps one of them.
    """
    import mlflow
    from mlflow.entities import Metric

    summary = files.read_json(files.TRAINING_METRICS_FILE)
    # A curve has this name, so the summary would add a point to it.
    own = {name: value for name, value in summary.items() if name not in EPOCH_METRICS}
    points = [
        Metric(name, value, new_point_time(run, name), 0)
        for name, value in {**metrics, **own}.items()
        if run.data.metrics.get(name) != value
    ]
    gradients = pd.read_csv(files.GRADIENTS_FILE)
    for name, column in GRADIENT_CURVES.items():
        norms = gradients[column].tolist()  # of the distances 0, 1, 2, ...
        if norms and run.data.metrics.get(name) != norms[-1]:
            point_time = new_point_time(run, name)
            points += [Metric(name, norm, point_time, at) for at, norm in enumerate(norms)]
    for first in range(0, len(points), METRICS_AT_ONCE):
        mlflow.MlflowClient().log_batch(run.info.run_id, points[first : first + METRICS_AT_ONCE])


def new_point_time(run: "Run", name: str) -> int:
    """Return the time of a metric's next point in milliseconds: the run's start for the first one.

    Newer code may compute another value. MLflow shows the latest point, so it comes after the
    others.
    """
    import mlflow

    if name not in run.data.metrics:
        return int(run.info.start_time)
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return max(int(point.timestamp) for point in points) + 1


def ensure_version(
    run: "Run", model_id: str, evaluation: Evaluation[EvaluateInputs], accuracy: float
) -> "ModelVersion":
    """Return the version of a run, which is registered if there is none.

    If the run's logged model was deleted, its version cannot be loaded. The version of the model
    that was logged instead takes over its tags and its alias.

    Args:
        run: the run.
        model_id: the logged model of raw texts.
        evaluation: the evaluation of the run.
        accuracy: of the test set.
    """
    source = f"models:/{model_id}"
    sources = {f"models:/{model.model_id}" for model in models.logged_models(run)}
    found = registry.versions_of_run(run.info.run_id)
    own = [version for version in found if version.source == source]
    lost = [version for version in found if version.source not in sources]
    if own:
        version = own[0]
    else:
        dataset = evaluation.inputs.fetch.dataset_name
        tags = {registry.ACCURACY_TAG: f"{accuracy:.4f}", **(lost[0].tags if lost else {})}
        description = card.describe_evaluation(*evaluation)
        version = registry.register_version(source, run.info.run_id, dataset, tags, description)
    for each in lost:
        registry.replace_version(each, version)
    return version


def end_killed_runs() -> None:
    """End the runs that no process of this project runs any more, in all experiments.

    A training that resumes has its checkpoint locked, so its run is left alone.
    """
    import mlflow

    database = store.sqlite_file(store.tracking_uri())
    if database is not None and not database.exists():
        return
    store.connect_to_read()
    running = mlflow.search_runs(
        search_all_experiments=True,
        filter_string="attributes.status = 'RUNNING'",
        output_format="list",
    )
    if not running:
        return
    client = mlflow.MlflowClient()
    for checkpoint in unused_checkpoints():
        own = {journal.training_id for journal in checkpoint.journals()}
        for run in running:
            run_id = run.info.run_id
            is_own = run.data.tags.get(TRAINING_ID) in own
            if is_own and client.get_run(run_id).info.status == "RUNNING":
                client.set_terminated(run_id, "KILLED")
