"""The stage of `extras/baseline/dvc.yaml`: a linear model, its answers to the test set, their run.

Writes `data/linear/<kind>/`: `model.npz` (see `sentiment.serving.linear_classifier`), `history.csv`
(one row: accuracy and loss of both parts of the training data, and the seconds of the fit) and, as
the stage `evaluate` does, metrics, probabilities, tables and plots of the answers.
"""

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from extras.baseline import fit as fits
from extras.baseline.fit import OPTIONS, LinearOptions
from extras.common import unpadded
from sentiment.section import flatten
from sentiment.serving import linear_classifier
from sentiment.serving.linear_classifier import LinearClassifier
from workflow import files, outputs, provenance, tracking
from workflow.about import AboutEvaluate, AboutFetch, read_about
from workflow.commands import run_stage
from workflow.files import FETCH, array_names
from workflow.params import Params, load_params, load_yaml
from workflow.registry.packaging import ModelPackage, PackagedModel

if TYPE_CHECKING:
    from sentiment.data.params import Dataset

DECLARED, STAGE = Path("extras", "baseline", "dvc.yaml"), "linear"
FOLDER = files.DATA / "linear"
FITS = {"tfidf": fits.fit_tfidf, "naive_bayes": fits.fit_naive_bayes}


class Job(NamedTuple):
    """A model to be fitted, the params of the model and its evaluation, and the reviews."""

    kind: str
    params: Params
    options: LinearOptions
    dataset: "Dataset"
    data: unpadded.Data


def read_job(kind: str) -> Job:
    """Read params and reviews, split as those of the networks are."""
    params = load_params()
    return Job(
        kind=kind,
        params=params,
        options=load_yaml(LinearOptions, OPTIONS),
        dataset=read_about(FETCH, AboutFetch).dataset,
        data=unpadded.read_data(params.pad.shuffle_seed, [params.train.validation_split]),
    )


def fit(job: Job) -> tuple[LinearClassifier, float]:
    """Fit the model. Return it and the fitting time in seconds."""
    learning = fits.choose(job.data.train, job.data.learned)
    started = time.perf_counter()
    counts = fits.count(learning, job.options.min_reviews)
    model = FITS[job.kind](counts, learning.labels, job.options)
    return model, time.perf_counter() - started


def settings_of(params: Params, options: LinearOptions, kind: str) -> dict[str, Any]:
    """Return the params of a model by dotted name, without those of the data and the evaluation."""
    return {
        "linear.kind": kind,
        "pad.shuffle_seed": params.pad.shuffle_seed,
        "train.validation_split": params.train.validation_split,
        **flatten(options, "linear"),
    }


def describe(folder: Path, job: Job) -> AboutEvaluate:
    """Describe the evaluation of the model in a folder."""
    return AboutEvaluate(
        dataset=job.dataset,
        evaluate=job.params.evaluate,
        digests={
            outputs.MODEL_DIGEST: files.sha256(folder / linear_classifier.FILE),
            outputs.TEST_DIGEST: files.joint_digest(FETCH, array_names("test")),
        },
        other=settings_of(job.params, job.options, job.kind),
    )


def save(folder: Path, job: Job, model: LinearClassifier, seconds: float, name: str) -> None:
    """Write model and evaluation into an empty folder, see `unpadded.evaluate`."""
    np.savez(folder / linear_classifier.FILE, **vars(model))
    about = describe(folder, job)
    fitted = unpadded.Model(model.probabilities, len(model.weights) + 1, seconds)
    unpadded.evaluate(folder, fitted, job.data, about, name)


def package_model(folder: Path, job: Job) -> ModelPackage:
    """Return the package of the model in a folder."""
    path = files.verified(folder / linear_classifier.FILE)
    return ModelPackage(
        models=[PackagedModel(path, {}, classifier="linear_classifier")],
        word_index=files.verified(FETCH / "word_index.json"),
        threshold=job.params.evaluate.threshold,
        packages=tracking.LINEAR_PACKAGES,
        tokenizer=job.dataset.tokenizer,
    )


def read_tags() -> dict[str, str]:
    """Return tags that lead back from the run: to code, data, packages and machine."""
    data = {
        f"data.{split}.sha256": files.joint_digest(FETCH, array_names(split))
        for split in ("train", "test")
    }
    return {**provenance.provenance_tags(), **data, **provenance.machine_tags()}


def run_name(job: Job, experiment: str | None) -> str:
    """Return a run's name: the model, the dataset unless it is IMDB, and the DVC experiment."""
    parts = [f"linear {job.kind.replace('_', ' ')}"]
    if job.dataset.name != "imdb":
        parts.append(job.dataset.name)
    if experiment:
        parts.append(experiment)
    return provenance.SEPARATOR.join(parts)


def main(kind: str) -> None:
    """Fit a model, write its folder, log it to a run of its own and register the model."""
    job = read_job(kind)
    tags = {"dataset": job.dataset.name, **read_tags()}
    name = run_name(job, tags.get("dvc.experiment"))
    diff = provenance.uncommitted_diff()
    folder = FOLDER / kind
    model, seconds = fit(job)
    with files.atomic_folder(folder) as partial_folder:
        save(partial_folder, job, model, seconds, name)
    about = read_about(folder, AboutEvaluate)
    with tracking.plain_run(name, about.flat_params(), tags) as run:
        if diff:
            tracking.log_text(run, f"{diff}\n", tracking.DIFF_FILE)
        package = package_model(folder, job)
        metrics = unpadded.publish_evaluation(run, folder, job.data.test, package)
    print(f"MLflow run {run.run_id}: {run.name}")
    print(f"Test Accuracy: {metrics['test_accuracy']:.4f}")


if __name__ == "__main__":
    wanted = "".join(sys.argv[1:])
    run_stage(f"{STAGE}@{wanted}", partial(main, wanted))
