"""The stage of `extras/baseline/dvc.yaml`: a linear model, its answers to the test set, their run.

Writes `data/linear/<kind>/`: `model.npz` (see `sentiment.serving.linear_classifier`), `history.csv`
(one row: accuracy and loss of both parts of the training data, and the seconds of the fit) and, as
the stage `evaluate` does, metrics, probabilities, tables and plots of the answers.
"""

import sys
import time
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from workflow.runs.logger import LINEAR_PACKAGES, RunLogger
from workflow.runs.training_run import clear, training_run

from extras.baseline import fit as fits
from extras.baseline.fit import OPTIONS, LinearOptions
from extras.common import unpadded
from sentiment.section import flatten
from sentiment.serving import linear_classifier
from sentiment.serving.linear_classifier import LinearClassifier
from workflow import ending, files
from workflow.files import FETCH, TEST_DATA, arrays
from workflow.params import Params, dataset_name, load, load_params, tokenizer_of
from workflow.registry.packaging import Model, Parts
from workflow.runs import identity, lifecycle

DECLARED, STAGE = Path("extras", "baseline", "dvc.yaml"), "linear"
FOLDER = files.DATA / "linear"
FITS = {"tfidf": fits.fit_tfidf, "naive_bayes": fits.fit_naive_bayes}
PACKAGES = ("scikit-learn", "scipy")  # compute beside those that every run names
AGAIN = f"dvc repro --single-item --force {DECLARED}:{STAGE}@"


class Job(NamedTuple):
    """A model to be fitted, what shapes it and its evaluation, and the reviews."""

    kind: str
    params: Params
    options: LinearOptions
    settings_used: dict[str, Any]
    data: unpadded.Data


def read_job(kind: str) -> Job:
    """Read params and reviews, split as those of the networks are."""
    params, options = load_params(), load(LinearOptions, OPTIONS)
    data = unpadded.read_data(params.pad.shuffle_seed, [params.train.validation_split])
    settings_used = files.read_about(FETCH)["params"] | settings_of(params, options, kind)
    return Job(kind, params, options, settings_used, data)


def settings_of(params: Params, options: LinearOptions, kind: str) -> dict[str, Any]:
    """The params that shape a model and its evaluation, by dotted names."""
    return {
        "linear.kind": kind,
        "pad.shuffle_seed": params.pad.shuffle_seed,
        "train.validation_split": params.train.validation_split,
        **flatten(options, "linear"),
        **flatten(params.evaluate, "evaluate"),
    }


def fit(job: Job) -> tuple[LinearClassifier, float]:
    """Fit the model, in so many seconds."""
    learning = fits.choose(job.data.train, job.data.learned)
    begun = time.perf_counter()
    counts = fits.count(learning, job.options.min_reviews)
    model = FITS[job.kind](counts, learning.labels, job.options)
    return model, time.perf_counter() - begun


def save(folder: Path, job: Job, model: LinearClassifier, seconds: float, name: str) -> None:
    """Write model and evaluation into an empty folder, see `unpadded.evaluate`."""
    np.savez(folder / linear_classifier.FILE, **vars(model))
    params = job.settings_used | {
        "model.sha256": files.sha256(folder / linear_classifier.FILE),
        TEST_DATA: files.joint_digest(FETCH, arrays("test")),
    }
    answering = unpadded.Model(model.probabilities, len(model.weights) + 1, seconds)
    unpadded.evaluate(folder, answering, job.data, params, name, job.params.evaluate)


def fit_and_log(job: Job, log: RunLogger, tags: Mapping[str, str]) -> None:
    """Fit, write the folder and log it; register the model and let the rule decide about it."""
    diff, folder = identity.uncommitted_diff(), FOLDER / job.kind
    log.tags(tags)
    model, seconds = fit(job)
    with files.replaced(folder) as partial_folder:
        save(partial_folder, job, model, seconds, log.run.name)
    log.diff(diff)
    saved = Model(
        files.checked(folder / linear_classifier.FILE), {}, classifier="linear_classifier"
    )
    index, threshold = files.checked(FETCH / "word_index.json"), job.params.evaluate.threshold
    parts = Parts([saved], index, threshold, LINEAR_PACKAGES, tokenizer_of(job.settings_used))
    metrics = unpadded.publish_evaluation(log, folder, job.data.test, parts, job.params.promote)
    print(f"MLflow run {log.run.run_id}: {log.run.name}")
    print(f"Test Accuracy: {metrics['test_accuracy']:.4f}")


def read_tags(job: Job) -> dict[str, str]:
    """Tags that lead back from the run: to code, data, packages and machine."""
    machine = identity.describe() | {f"{name}.version": version(name) for name in PACKAGES}
    parts = ("train", "test")
    data = {f"data.{part}.sha256": files.joint_digest(FETCH, arrays(part)) for part in parts}
    code = identity.code_digests([STAGE], DECLARED)
    shaped = {"params": job.settings_used, "data": data, "machine": machine, "code": code}
    own = {lifecycle.KEY: identity.fingerprint(shaped), "dataset": dataset_name(job.settings_used)}
    return {**own, **identity.provenance(), **data, **machine}


def run_name(job: Job, tags: Mapping[str, str]) -> str:
    """A run's name: the model, and the data set and DVC experiment where out of the ordinary."""
    dataset = dataset_name(job.settings_used)
    parts = [f"linear {job.kind.replace('_', ' ')}", dataset if dataset != "imdb" else ""]
    return identity.SEPARATOR.join(filter(None, [*parts, tags.get("dvc.experiment", "")]))


def main(kind: str) -> None:
    job = read_job(kind)
    tags = read_tags(job)
    with training_run(run_name(job, tags), job.settings_used, tags, with_model=False) as run:
        run.log.consequence = f"Logging to MLflow stops here, `{AGAIN}{kind}` does all of it again"
        fit_and_log(job, run.log, tags)
    if not run.log.lost:  # else the next call resumes its run
        clear(tags[lifecycle.KEY])


if __name__ == "__main__":
    wanted = "".join(sys.argv[1:])
    ending.run_stage(f"{STAGE}@{wanted}", partial(main, wanted))
