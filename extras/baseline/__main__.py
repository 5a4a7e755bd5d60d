"""The stage of `extras/baseline/dvc.yaml`: a linear model, its answers to the test set, their run.

Writes `data/linear/<kind>/`: `model.npz` (see `extras.common.linear_reader`), `history.csv` (one
row: accuracy and loss of both parts of the training data, and the seconds of the fit) and, as the
stage `evaluate` does, metrics, probabilities, tables and plots of the answers.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from extras.baseline import fit as fits
from extras.baseline.fit import OPTIONS, LinearOptions
from extras.common import linear_reader
from extras.common.history import history, in_parts
from extras.common.linear_reader import Linear
from extras.common.unpadded import unpadded
from sentiment.errors import UserError
from sentiment.network.batches import split
from sentiment.network.state import METRICS
from sentiment.padding import seen, shuffled
from sentiment.scoring.answers import (
    Evaluation,
    TestSet,
    evaluate_answers,
    predictions_table,
    texts_of,
)
from sentiment.section import flatten
from sentiment.text import Reviews
from workflow import ending, files
from workflow.evaluation import HISTORY, Served, TestIdentity, publish, read_words, write
from workflow.files import FETCH, TEST_DATA, arrays, read_reviews
from workflow.params import Params, dataset_name, load, load_params, tokenizer_of
from workflow.registry.packaging import Model, Parts
from workflow.runs import identity, lifecycle
from workflow.runs.identity import SEPARATOR, fingerprint, provenance, uncommitted_diff
from workflow.runs.logger import LINEAR_PACKAGES, RunLogger
from workflow.runs.training_run import clear, training_run

DECLARED, STAGE = Path("extras", "baseline", "dvc.yaml"), "linear"
FOLDER = files.DATA / "linear"
FITS = {"tfidf": fits.fit_tfidf, "naive_bayes": fits.fit_naive_bayes}
PARTS = ("train", "test")
PACKAGES = ("scikit-learn", "scipy")  # compute beside those that every run names
AGAIN = f"dvc repro --single-item --force {DECLARED}:{STAGE}@"


class Job(NamedTuple):
    """A model to be fitted, what shapes it and its evaluation, and the reviews of each part."""

    kind: str
    params: Params
    options: LinearOptions
    settings_used: dict[str, Any]
    learning: Reviews
    validation: Reviews
    test: TestSet


class Fitted(NamedTuple):
    """A model, how well it knows both parts of the training data, and its answers to the test."""

    model: Linear
    history: pd.DataFrame
    probabilities: NDArray[np.float32]
    cost: dict[str, float]


def read_job(kind: str) -> Job:
    """Read params and reviews, split as those of the networks are."""
    params, options = load_params(), load(LinearOptions, OPTIONS)
    train, test = (read_reviews(FETCH, part) for part in PARTS)
    order, test_order = shuffled(len(train), len(test), params.pad.shuffle_seed)
    parts = split(order, train.labels[order], params.train.validation_split)
    learning, validation = (fits.choose(train, part.x) for part in parts)
    settings_used = files.read_about(FETCH)["params"] | settings_of(params, options, kind)
    unread = unpadded(test, test_order, seen(test, train))
    return Job(kind, params, options, settings_used, learning, validation, unread)


def settings_of(params: Params, options: LinearOptions, kind: str) -> dict[str, Any]:
    """The params that shape a model and its evaluation, by dotted names."""
    return {
        "linear.kind": kind,
        "pad.shuffle_seed": params.pad.shuffle_seed,
        "train.validation_split": params.train.validation_split,
        **flatten(options, "linear"),
        **flatten(params.evaluate, "evaluate"),
    }


def fit(job: Job) -> Fitted:
    """Fit the model, and let it answer all reviews."""
    begun = time.perf_counter()
    counts = fits.count(job.learning, job.options.min_reviews)
    model = FITS[job.kind](counts, job.learning.labels, job.options)
    seconds = time.perf_counter() - begun
    parts = [(part.labels, answers(model, list(part))) for part in (job.learning, job.validation)]
    begun = time.perf_counter()
    probabilities = answers(model, [job.test.reviews[review] for review in job.test.order])
    taken = 1000 * (time.perf_counter() - begun) / len(probabilities)
    cost = {"parameters": len(model.weights) + 1, "milliseconds_per_review": taken}
    return Fitted(model, history(parts, seconds), probabilities, cost)


def answers(model: Linear, reviews: Sequence[NDArray[np.uint32]]) -> NDArray[np.float32]:
    """The probability of being positive for each review, shape (reviews,)."""
    return in_parts(
        lambda some: model.probabilities([ranks.astype(np.int64) for ranks in some]), reviews
    )


def evaluate(job: Job, fitted: Fitted, name: str) -> Evaluation:
    """All that follows from the answers to the test; `name` is the run's."""
    options = job.params.evaluate
    predictions = predictions_table(job.test, fitted.probabilities, options.threshold)
    texts = texts_of(job.test, read_words())
    return evaluate_answers(predictions, texts, dataset_name(job.settings_used), name, options)


def save(folder: Path, job: Job, fitted: Fitted, evaluation: Evaluation) -> None:
    """Write all into an empty folder, with digests of model and test set."""
    np.savez(folder / linear_reader.FILE, **vars(fitted.model))
    fitted.history.to_csv(folder / HISTORY, index=False)
    files.write_json(folder / "cost.json", fitted.cost)
    write(folder, evaluation)
    digests = {
        "model.sha256": files.sha256(folder / linear_reader.FILE),
        TEST_DATA: files.joint_digest(FETCH, arrays("test")),
    }
    files.write_about(folder, job.settings_used | digests)


def log_data(log: RunLogger, job: Job) -> None:
    """Name the parts of the data in the run, each as the words and labels of its reviews."""
    cut, end = len(job.learning), len(job.learning) + len(job.validation)
    parts = {
        "training": (job.learning, "train", slice(0, cut)),
        "validation": (job.validation, "train", slice(cut, end)),
        "test": (job.test.reviews, "test", slice(None)),
    }
    for context, (reviews, part, rows) in parts.items():
        name = f"{dataset_name(job.settings_used)}-{context}"
        digest = files.short_digest(FETCH, arrays(part), rows)
        log.dataset(name, context, (reviews.tokens, reviews.labels), FETCH, digest)


def fit_and_log(job: Job, log: RunLogger, tags: dict[str, str]) -> None:
    """Fit, write the folder and log it; register the model and let the rule decide about it."""
    diff, folder = uncommitted_diff(), FOLDER / job.kind
    log.tags(tags)
    log_data(log, job)
    fitted = fit(job)
    log.epoch(1, {name: float(fitted.history[name].iloc[0]) for name in METRICS})
    evaluation = evaluate(job, fitted, log.run.name)
    with files.replaced(folder) as partial:
        save(partial, job, fitted, evaluation)
    log.diff(diff)
    model = Model(files.checked(folder / linear_reader.FILE), {}, reader=linear_reader.READER)
    index, threshold = files.checked(FETCH / "word_index.json"), job.params.evaluate.threshold
    parts = Parts([model], index, threshold, LINEAR_PACKAGES, tokenizer_of(job.settings_used))
    digests = {key: files.read_about(folder)["params"][key] for key in ("model.sha256", TEST_DATA)}
    test = TestIdentity(f"{dataset_name(job.settings_used)}-test", job.test.digest)
    served = Served(parts, digests, job.params.promote)
    publish(log, folder, evaluation.metrics, test, served)
    print(f"MLflow run {log.run.run_id}: {log.run.name}")
    print(f"Test Accuracy: {evaluation.metrics['test_accuracy']:.4f}")


def read_tags(job: Job) -> dict[str, str]:
    """Tags that lead back from the run: to code, data, packages and machine."""
    computed_by = identity.describe() | {f"{name}.version": version(name) for name in PACKAGES}
    data = {f"data.{part}.sha256": files.joint_digest(FETCH, arrays(part)) for part in PARTS}
    code = identity.code_digests([STAGE], DECLARED)
    shaped = {"params": job.settings_used, "data": data, "machine": computed_by, "code": code}
    identity_tags = {lifecycle.KEY: fingerprint(shaped), "dataset": dataset_name(job.settings_used)}
    return {**identity_tags, **provenance(), **data, **computed_by}


def run_name(job: Job, tags: Mapping[str, str]) -> str:
    """A run's name: the model, and the data set and DVC experiment where out of the ordinary."""
    dataset = dataset_name(job.settings_used)
    parts = [f"linear {job.kind.replace('_', ' ')}", dataset if dataset != "imdb" else ""]
    return SEPARATOR.join(filter(None, [*parts, tags.get("dvc.experiment", "")]))


def main(kind: str) -> None:
    if kind not in FITS:
        raise UserError(f"There is no linear model {kind!r}, but {' and '.join(FITS)}.")
    job = read_job(kind)
    tags = read_tags(job)
    again = f"Logging to MLflow stops here, `{AGAIN}{kind}` does all of it again"
    with training_run(run_name(job, tags), job.settings_used, tags, with_model=False) as run:
        run.log.consequence = again
        fit_and_log(job, run.log, tags)
    if not run.log.lost:  # else the next call resumes its run
        clear(tags[lifecycle.KEY])


if __name__ == "__main__":
    wanted = "".join(sys.argv[1:])
    ending.run_stage(f"{STAGE}@{wanted}", partial(main, wanted))
