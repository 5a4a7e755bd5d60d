"""Bring MLflow up to date with `data/`.

Stages call this after they have written their folders. `make sync` does only this. A second call
changes nothing.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from sentiment.errors import StoreError, first_line
from sentiment.padding import layout
from sentiment.profile import build_profile
from sentiment.tokenizer import ReadLimits
from workflow import files, outputs, store, tracking
from workflow.about import AboutEvaluate, AboutFetch, AboutTrain, read_about
from workflow.files import EVALUATE, FETCH, PAD, TRAIN, array_names
from workflow.outputs import TRAINING_DIGEST, DatasetRecord, RunRecord
from workflow.params import load_params
from workflow.registry import model_card, versions
from workflow.registry.model_card import EvaluatedModel, SplitSizes
from workflow.registry.packaging import ModelPackage, PackagedModel
from workflow.registry.promotion import read_evaluation
from workflow.registry.versions import Registration
from workflow.tracking import Run, calls_store


@calls_store
def publish() -> Run:
    """Log everything in `data/` that MLflow lacks, and register the evaluated model.

    An evaluation of another model or test set than those in `data/` is skipped.

    Returns:
        The run of the training in `data/train`.

    Raises:
        StoreError: the tracking store cannot be used.
        DamagedError: a file is missing or was changed.
    """
    # Take the lock in the store thread: if a signal interrupts the main thread, the lock is held
    # until this call is done.
    with FileLock(files.root() / f"{store.DATABASE}.publish.lock"):
        record = outputs.read_run_record()
        run, model_id = tracking.complete_training(record, read_about(TRAIN, AboutTrain))
        if outputs.is_evaluation_current() and not tracking.has_all_outputs(run, EVALUATE):
            _publish_model_evaluation(run, record, model_id)
    return run


def publish_or_explain(folder: Path) -> Run | None:
    """Bring MLflow up to date, see `publish`, or print what to do if the store fails.

    Args:
        folder: the folder that is complete, for the message.

    Returns:
        The run of the training in `data/train`, or None if the store failed.
    """
    try:
        return publish()
    except (StoreError, OSError) as error:
        print(
            f"{folder} is complete but not logged to MLflow. Run `make sync` later to log it. "
            f"({first_line(error)})",
            file=sys.stderr,
            flush=True,
        )
        return None


def _publish_model_evaluation(run: Run, record: RunRecord, model_id: str) -> None:
    about = read_about(EVALUATE, AboutEvaluate)
    gradients = pd.read_csv(files.verified(EVALUATE / "gradients.csv"))
    # The training's end, so that the points are the same whenever they are logged.
    moment = record.ended or record.started
    points = tracking.gradient_points(gradients, tracking.GRADIENT_NORM, moment, model_id)
    tracking.log_points(run, points)
    x, y = files.read_arrays(PAD, ["x_test", "y_test"])
    digest = files.short_digest(PAD, ["x_test", "y_test"])
    dataset = tracking.describe_arrays(f"{about.dataset.name}-test", "test", x, y, PAD, digest)
    sizes = training_split_sizes(record)
    publish_evaluation(run, EVALUATE, about, dataset, model_package(about), sizes, model_id)


def training_split_sizes(record: RunRecord) -> SplitSizes:
    """Return the sizes of the splits that a model was trained and validated on."""
    reviews = {dataset.context: dataset.reviews for dataset in record.datasets}
    return SplitSizes(reviews["training"], reviews["validation"])


@calls_store
def publish_evaluation(
    run: Run,
    folder: Path,
    about: AboutEvaluate,
    dataset: DatasetRecord,
    package: ModelPackage,
    sizes: SplitSizes,
    model_id: str | None = None,
) -> dict[str, Any]:
    """Log the evaluation of a single model or an ensemble to a run, and register the model.

    Args:
        folder: the folder of the evaluation.
        about: the folder's `about.json`.
        dataset: the test set.
        package: the evaluated model, to be registered.
        sizes: sizes of the splits that the model was trained and validated on.
        model_id: the logged Keras model. An ensemble has none.

    Returns:
        The metrics.
    """
    from sentiment.evaluation.evaluate import flatten_metrics  # imports Matplotlib

    metrics: dict[str, Any] = files.read_json(files.verified(folder / "metrics.json"))
    tracking.log_evaluation(run, folder, flatten_metrics(metrics), dataset, model_id)
    digests = dict(about.digests)
    # Record the training set only if `data/fetch` still has the one that the model was trained on.
    if read_about(FETCH, AboutFetch).dataset == about.dataset:
        digests[TRAINING_DIGEST] = files.joint_digest(FETCH, array_names("train"))
    evaluation = read_evaluation(folder)
    profile = package_profile(package, evaluation.predictions)
    evaluated = EvaluatedModel(
        name=run.name,
        about=about,
        digests=digests,
        layouts=[model.config["layout"] for model in package.models],
        parameters=files.read_json(files.verified(folder / "cost.json"))["parameters"],
        sizes=sizes,
        metrics=metrics,
        predictions=evaluation.predictions,
        lengths=pd.read_csv(files.verified(folder / "lengths.csv")),
        profile=profile,
    )
    registration = Registration(
        dataset=about.dataset.name,
        package=package,
        tags=versions.version_tags(metrics, digests),
        profile=profile,
        card=model_card.describe_model(evaluated),
        promote=load_params().promote,
    )
    versions.register_model(run, registration, folder)
    tracking.mark_complete(run, folder)
    return metrics


def model_package(about: AboutEvaluate) -> ModelPackage:
    """Return the package of the model in `data/train`, which an evaluation describes."""
    assert about.pad is not None  # every evaluation of a single model has it
    config = {"layout": asdict(layout(about.pad)), "batch_size": about.evaluate.batch_size}
    return ModelPackage(
        models=[PackagedModel(files.verified(TRAIN / "model.keras"), config)],
        word_index=files.verified(FETCH / "word_index.json"),
        threshold=about.evaluate.threshold,
        tokenizer=about.dataset.tokenizer,
    )


def package_profile(package: ModelPackage, predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the profile of an evaluated model, from the texts in `data/fetch`.

    Args:
        package: the evaluated model.
        predictions: see `sentiment.evaluation.metrics`.
    """
    limits = ReadLimits.from_layouts([model.config["layout"] for model in package.models])
    train = files.read_reviews(FETCH, "train")
    test = files.read_reviews(FETCH, "test")
    (dropped,) = files.read_arrays(FETCH, ["test_dropped"])
    profile = build_profile(
        train,
        test,
        dropped,
        predictions,
        limits,
        package.tokenizer,
        package.threshold,
    )
    return profile.model_dump()
