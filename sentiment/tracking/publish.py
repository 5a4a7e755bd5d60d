"""Log the files in `data/` and `metrics/` to MLflow, as one run and one version.

The stage `evaluate` and `sentiment sync` do the same. The tag `evaluation_digest` is written after
everything else. A publication that was cut short is done again, in the same run. A run whose tag
is the digest of these files is complete, and is left alone.
"""

import sys
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from ruamel.yaml import YAML

from sentiment.errors import UserError, first_line
from sentiment.model.training import EPOCH_METRICS, KEPT_EPOCH
from sentiment.project import paths, provenance
from sentiment.project.arrays import read_array
from sentiment.project.checkpoint import AlreadyRunningError, Journal, exclusive_checkpoint
from sentiment.project.consistency import check_model, check_source
from sentiment.project.digests import digest_lines, files_digest
from sentiment.project.documents import read_json, read_table
from sentiment.project.dvc import changed_outputs, read_model_stages
from sentiment.project.manifest import EvaluateManifest, read_manifest
from sentiment.project.naming import training_name
from sentiment.project.paths import EVALUATE_FOLDER, PAD_FOLDER
from sentiment.tracking import card, champion, models, registry, runs, store
from sentiment.tracking.runs import (
    EVALUATION_DIGEST,
    KEPT_VAL_ACCURACY,
    MODEL_DIGEST,
    SYNC_ADVICE,
    TRAINING_ID,
    TRAINING_KEY,
)
from sentiment.tracking.store import StoreError
from sentiment.tracking.versions import Evaluation, read_predictions

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

TABLES_ARTIFACT = "metrics"
# Curves over the distance from the last word, and their columns in the table of gradients. MLflow
# sorts its charts by name: these come after accuracy and loss.
GRADIENT_CURVES = {"word_gradient": "mean", "word_gradient_initial": "initial_mean"}
# What a run and its models get as files
LOGGED = (EVALUATE_FOLDER, paths.METRICS_FOLDER, paths.MODEL_FILE, paths.WORD_INDEX_FILE)
METRICS_AT_ONCE = 1000  # the most that one request takes


class Publication(NamedTuple):
    """The content of a run. Arrays, models and other files are logged from `data/` and `metrics/`.

    Attributes:
        digests: of all files in `LOGGED`.
        evaluation_digest: digest of the files in `data/evaluate`.
        manifest: what these files depend on.
        predictions: see `sentiment.evaluation.metrics`.
        model_stages: how the model was made, see `read_model_stages`. None: the stages
            were run without DVC.
    """

    digests: str
    evaluation_digest: str
    manifest: EvaluateManifest
    predictions: pd.DataFrame
    test_metrics: dict[str, float]
    training_metrics: dict[str, float]
    history: pd.DataFrame
    gradients: pd.DataFrame
    model_stages: dict[str, Any] | None


class PublishedRun(NamedTuple):
    """A run that has the results.

    Attributes:
        decision: what was decided about its version. "": it has none.
    """

    run_id: str
    name: str
    experiment_id: str
    test_accuracy: float
    decision: str

    def describe(self) -> str:
        """Return lines with the decision, and where to look at the run and at all runs."""
        pages = store.describe_pages(self.experiment_id, self.run_id)
        return "\n".join(filter(None, [self.decision, f"Run {self.run_id}: {self.name}", pages]))


def publish_stage(alpha: float) -> PublishedRun | None:
    """Publish the results of the stage `evaluate`. If the store fails, print what to do.

    Args:
        alpha: see `sentiment.tracking.promotion`.
    """
    try:
        return publish(read_publication(), alpha)
    except (StoreError, AlreadyRunningError, OSError) as error:
        print(
            f"data/ is complete but not logged to MLflow. {SYNC_ADVICE} ({first_line(error)})",
            file=sys.stderr,
            flush=True,
        )
        return None


def publish_locked_results(alpha: float) -> PublishedRun:
    """Publish the results that dvc.lock describes.

    Raises:
        StoreError: the store cannot be used.
        UserError: see `publish`, or dvc.lock describes other results.
    """
    changed = changed_outputs()
    if changed:
        raise UserError(
            f"dvc.lock describes other results than these: {', '.join(changed)}. Run `dvc repro`. "
            "If you ran the stages without DVC: `dvc commit`."
        )
    return publish(read_publication(), alpha)


def read_publication() -> Publication:
    """Read the results in `data/` and `metrics/`.

    Raises:
        UserError: a file is missing or damaged, or the folders do not belong together.
    """
    manifest = read_manifest(EVALUATE_FOLDER, EvaluateManifest)
    check_source(EVALUATE_FOLDER, paths.TRAIN_FOLDER)
    check_model(manifest)
    training_metrics = read_json(paths.TRAINING_METRICS_FILE)
    history = read_table(paths.HISTORY_FILE)
    is_kept = history["epoch"] == training_metrics[KEPT_EPOCH]
    kept = history.loc[is_kept, list(EPOCH_METRICS)]
    if kept.to_dict("records") != [{name: training_metrics[name] for name in EPOCH_METRICS}]:
        raise UserError(f"{paths.HISTORY_FILE} is of another training. Run `dvc repro`.")
    return Publication(
        digests=digest_lines(LOGGED),
        evaluation_digest=evaluation_digest(),
        manifest=manifest,
        predictions=read_predictions(paths.PREDICTIONS_FILE),
        test_metrics=read_json(paths.TEST_METRICS_FILE),
        training_metrics=training_metrics,
        history=history,
        gradients=read_table(paths.GRADIENTS_FILE),
        model_stages=read_model_stages(manifest.train),
    )


def evaluation_digest() -> str:
    """Return a digest of all files in `data/evaluate`."""
    return files_digest([EVALUATE_FOLDER])


def publish(publication: Publication, alpha: float) -> PublishedRun:
    """Log the results unless a run has them, and let the rule decide about the model.

    Args:
        alpha: see `sentiment.tracking.promotion`.

    Raises:
        StoreError: the store cannot be used.
        UserError: the files were changed in the meantime, or the training is running.
    """
    import mlflow

    manifest = publication.manifest
    with store.store_errors(), exclusive_checkpoint(manifest.training_key) as checkpoint:
        experiment_id = registry.connect_experiment(manifest.fetch.dataset_name)
        client = mlflow.MlflowClient()
        journal = checkpoint.read_journal()
        is_own = journal is not None and journal.model_digest == manifest.model_digest
        if journal is None or not is_own:
            journal = foreign_journal(manifest)
        run = find_run(experiment_id, publication, journal)
        if run is not None and is_complete(run, publication):
            decision = champion.describe_decision(registry.find_version(run.info.run_id))
        else:
            with runs.start_or_resume_run(run, journal, manifest) as run:
                version = log_run(run, publication, journal)
            decision = champion.decide(
                version, Evaluation(manifest, publication.predictions), alpha
            )
            client.set_tag(run.info.run_id, EVALUATION_DIGEST, publication.evaluation_digest)
        if is_own:
            checkpoint.remove_state()
    return PublishedRun(
        run_id=run.info.run_id,
        name=str(run.info.run_name),
        experiment_id=experiment_id,
        test_accuracy=publication.test_metrics["test_accuracy"],
        decision=decision,
    )


def foreign_journal(manifest: EvaluateManifest) -> Journal:
    """Return the journal of a training that this machine has not run.

    Its id follows from the model, so that an interrupted publication finds its run again.
    """
    unknown = dict.fromkeys((provenance.COMMIT, provenance.BRANCH), provenance.UNKNOWN_COMMIT)
    digest = manifest.model_digest
    return Journal(training_id=digest[:32], tags=unknown, model_digest=digest)


def find_run(experiment_id: str, publication: Publication, journal: Journal) -> "Run | None":
    """Return the run that has the results, or the one that gets them, if any.

    A run of this execution of the training comes before one of the same model that another machine
    has logged.
    """
    manifest = publication.manifest
    own = runs.find_runs(experiment_id, {TRAINING_ID: journal.training_id})
    same_model = {TRAINING_KEY: manifest.training_key, MODEL_DIGEST: manifest.model_digest}
    for found in (own, runs.find_runs(experiment_id, same_model)):
        complete = [run for run in found if is_complete(run, publication)]
        consistent = [run for run in found if is_consistent(run, publication)]
        if complete or consistent:
            return [*complete, *consistent][0]
    return None


def is_complete(run: "Run", publication: Publication) -> bool:
    """Return whether a run has all results."""
    return run.data.tags.get(EVALUATION_DIGEST) == publication.evaluation_digest


def is_consistent(run: "Run", publication: Publication) -> bool:
    """Return whether no param, test metric or gradient of a run has another value.

    A run may have an earlier evaluation with the same predictions, such as one with other plots or
    with texts that must not stay. Its files are replaced.
    """
    params = publication.manifest.run_params()
    metrics = dict(publication.test_metrics)
    if not publication.gradients.empty:
        last = publication.gradients.iloc[-1]  # what MLflow shows of a curve
        metrics |= {name: float(last[column]) for name, column in GRADIENT_CURVES.items()}
    logged = {name: run.data.metrics[name] for name in metrics.keys() & run.data.metrics.keys()}
    return run.data.params.items() <= params.items() and logged.items() <= metrics.items()


def log_run(run: "Run", publication: Publication, journal: Journal) -> "ModelVersion":
    """Log everything to the active run, and return the version of its model.

    Everything may be logged already: MLflow keeps one of equal params and points, and a file takes
    the place of the one with its name.

    Raises:
        UserError: the files were changed in the meantime.
    """
    import mlflow

    manifest = publication.manifest
    metrics = publication.test_metrics
    if EVALUATION_DIGEST in run.data.tags:  # an earlier evaluation, whose files are replaced now
        mlflow.delete_tag(EVALUATION_DIGEST)
    mlflow.set_tag(MODEL_DIGEST, manifest.model_digest)
    runs.log_training(manifest, journal.diff)
    x = read_array(PAD_FOLDER / "x_test.npy")
    y = read_array(PAD_FOLDER / "y_test.npy")
    runs.log_dataset(manifest, "test", x, y)
    runs.log_epochs(run.info.run_id, publication.history)
    log_points(run, publication)
    mlflow.log_artifacts(str(EVALUATE_FOLDER))
    mlflow.log_artifacts(str(paths.METRICS_FOLDER), TABLES_ARTIFACT)
    name = training_name(manifest.fetch, manifest.pad, manifest.train)
    description = card.describe_evaluation(manifest, publication.predictions, metrics, name)
    how_to_get_data = ""
    if publication.model_stages is not None:
        text = StringIO()
        YAML().dump({"schema": "2.0", "stages": publication.model_stages}, text)
        mlflow.log_text(text.getvalue(), paths.DVC_LOCK.name)
        how_to_get_data = f"\n\n{card.describe_data(run.info.run_id)}"
    mlflow.set_tag(store.DESCRIPTION, description + how_to_get_data)
    return ensure_version(run, publication, description)


def log_points(run: "Run", publication: Publication) -> None:
    """Log the metrics of the test set, the epoch that was kept and the gradient curves.

    They have the time of the run's start: the same points again are equal, and MLflow keeps one of
    them.
    """
    import mlflow
    from mlflow.entities import Metric

    start = run.info.start_time
    training = publication.training_metrics
    kept = {KEPT_EPOCH: training[KEPT_EPOCH], KEPT_VAL_ACCURACY: training["val_accuracy"]}
    mlflow.log_metrics({**publication.test_metrics, **kept}, step=0, timestamp=start)
    points = [
        Metric(name, value, start, distance)
        for name, column in GRADIENT_CURVES.items()
        for distance, value in enumerate(publication.gradients[column].tolist())
    ]
    for first in range(0, len(points), METRICS_AT_ONCE):
        mlflow.MlflowClient().log_batch(run.info.run_id, points[first : first + METRICS_AT_ONCE])


def ensure_version(run: "Run", publication: Publication, description: str) -> "ModelVersion":
    """Return the version of the active run, which is registered after both models are logged.

    So a run that has a version has whole models.

    Raises:
        UserError: the files were changed while they were logged.
    """
    version = registry.find_version(run.info.run_id)
    model_id = models.log_models(run, publication.manifest) if version is None else ""
    if digest_lines(LOGGED) != publication.digests:
        raise UserError(
            f"{paths.DATA} was changed while it was logged, by another training. Run `dvc repro`, "
            "and then `sentiment sync`."
        )
    if version is None:
        dataset = publication.manifest.fetch.dataset_name
        version = registry.register_version(model_id, run.info.run_id, dataset)
    accuracy = publication.test_metrics["test_accuracy"]
    registry.write_card(version, description, accuracy)
    return version
