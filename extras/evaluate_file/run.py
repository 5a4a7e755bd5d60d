"""Evaluate a model version on a file of labeled texts, as a run in MLflow."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray

from extras.common.evaluated_runs import damaged_as_user_error
from extras.common.model_versions import resolve_project_version, run_with_versions
from extras.common.reports import REPORTS
from extras.evaluate_file.predictions import (
    REQUEST_ID,
    SEEN,
    compare_metrics,
    evaluate_table,
    format_metrics,
    predict_rows,
    read_logged,
)
from sentiment.data import rows
from sentiment.data.params import TableParams, file_name
from sentiment.data.rows import BinaryLabels, Columns, Row, Source
from sentiment.errors import UserError
from sentiment.evaluation.evaluate import flatten_metrics
from sentiment.evaluation.metrics import POSITIVE, Predictions
from sentiment.evaluation.params import EvaluateParams
from sentiment.section import flatten
from sentiment.tokenizer import review_hashes
from workflow import downloads, files, outputs, tracking
from workflow.about import About, write_about
from workflow.files import FETCH, array_names
from workflow.outputs import TEST_DIGEST, TRAINING_DIGEST
from workflow.params import load_params
from workflow.registry import champion, packaging, versions
from workflow.terminal import replace_control_characters

MAX_IDS_SHOWN = 20  # in a message
OF_TAG = "evaluation.of"  # the run that trained the evaluated model


class AboutFile(About):
    """The inputs of an evaluation on a file.

    Attributes:
        evaluation: the model, the file, its SHA-256, and how it is read.
    """

    evaluation: dict[str, str]
    evaluate: EvaluateParams

    def flat_params(self) -> dict[str, Any]:
        evaluation = {f"evaluation.{name}": value for name, value in self.evaluation.items()}
        return {**evaluation, **flatten(self.evaluate, "evaluate")}


class FileRequest(NamedTuple):
    """The file and the model of an evaluation.

    Attributes:
        version: the model version.
        file: name of the file.
        digest: SHA-256 of the file.
        table: the columns and the labels of the file.
        params: the params of the evaluation.
    """

    version: ModelVersion
    file: str
    digest: str
    table: TableParams
    params: EvaluateParams

    @property
    def model_uri(self) -> str:
        return champion.model_uri_of(self.version)

    @property
    def name(self) -> str:
        """The name of the run, and the title of each plot."""
        return f"version {self.version.version} of {self.version.name} on {self.file}"

    @property
    def about(self) -> AboutFile:
        evaluation = {
            "model": self.model_uri,
            "file": self.file,
            "file_sha256": self.digest,
            **self.table.model_dump(include={"text", "label", "positive"}),
        }
        return AboutFile(evaluation=evaluation, evaluate=self.params)


def evaluate_file(
    file: str, changes: Mapping[str, str], model_uri: str | None, log: str
) -> dict[str, Any]:
    """Evaluate a model version on a file, and log the evaluation.

    Args:
        file: a path or a URL.
        changes: `text`, `label` and `positive`, if they differ from `fetch.table`.
        model_uri: the version as MLflow names it. None: the champion.
        log: the log of the version's predictions, a folder or a file. The texts of `file` are then
            ids of requests. Empty: the texts are predicted.

    Returns:
        What `make evaluate-file JSON=1` prints.

    Raises:
        UserError: the file, the log or the version cannot be used.
        StoreError: the tracking store cannot be used.
    """
    params = load_params()
    columns = {"text": REQUEST_ID} if log else {}
    table = TableParams.model_validate(params.fetch.table.model_dump() | columns | dict(changes))
    with downloads.local_copy(file) as source:
        digest = files.sha256(source.path)
        version = resolve_project_version(model_uri)
        with damaged_as_user_error(versions.version_title(version), "Evaluate its run again."):
            test_predictions = versions.load_evaluation(version).predictions
        request = FileRequest(version, file_name(file), digest, table, params.evaluate)
        predictions = predict_file(request, source, log)
    bins = params.evaluate.calibration_bins
    metrics = compare_metrics(Predictions(predictions, bins), Predictions(test_predictions, bins))
    run_id, folder = write_and_log(request, predictions)
    also_in_training = int(predictions[SEEN].sum()) if SEEN in predictions else None
    return {
        "run_id": run_id,
        "model": request.model_uri,
        "file": request.file,
        "folder": str(folder),
        "reviews": len(predictions),
        "positive": int((predictions["actual"] == POSITIVE).sum()),
        "also_in_training": also_in_training,
        "metrics": {name: metric._asdict() for name, metric in metrics.items()},
        "table": format_metrics(metrics),
    }


def predict_file(request: FileRequest, source: Source, log: str) -> pd.DataFrame:
    """Return the predictions for the texts of a file, or those in a log.

    Returns:
        See `extras.evaluate_file.predictions`.
    """
    table = request.table
    labels = BinaryLabels(table.positive, table.label)
    texts = rows.read_valid_rows(source, Columns(table.text, table.label), table.max_characters)
    if log:
        predictions = read_predictions(request, texts, labels, Path(log))
    else:
        model = packaging.load_model(request.model_uri)
        known = training_hashes(request.version)
        predictions = predict_rows(model, texts, labels.is_positive, known)
    labels.check_both_present(
        (predictions["actual"] == POSITIVE).to_numpy().astype(np.uint8), source.name
    )
    return predictions


def read_predictions(
    request: FileRequest, ids: Iterable[Row], labels: BinaryLabels, log: Path
) -> pd.DataFrame:
    """Return the predictions in a log, and print which ids do not have exactly one.

    Args:
        request: the file and the model.
        ids: rows whose texts are ids of requests.
        labels: the labels of the rows.
        log: the folder of the log, or one of its files.

    Raises:
        UserError: there is no log, an id has both labels, or no id has exactly one prediction.
    """
    paths = [log] if log.is_file() else sorted(log.glob("*.jsonl"))
    if not paths:
        raise UserError(f"There is no log {log}. Name the folder of `make serve LOG=…` in LOG.")
    labels_by_id: dict[str, bool] = {}
    for row in ids:
        is_positive = labels.is_positive(row)
        if labels_by_id.setdefault(row.text, is_positive) != is_positive:
            raise UserError(f"{row.location}: {row.text} has both labels. Keep one of them.")
    threshold = float(versions.load_profile(request.version)["threshold"])
    predictions, missing = read_logged(paths, request.model_uri, labels_by_id, threshold)
    if missing:
        more = ", …" if len(missing) > MAX_IDS_SHOWN else ""
        message = (
            f"{len(missing):,} of {len(labels_by_id):,} ids do not have exactly one prediction by "
            f"{request.model_uri} in {log}: {', '.join(missing[:MAX_IDS_SHOWN])}{more}"
        )
        if predictions.empty:
            raise UserError(message)
        print(replace_control_characters(message))
    return predictions


def training_hashes(version: ModelVersion) -> NDArray[np.uint64] | None:
    """Return the hashes of the reviews that a version was trained on, shape (reviews,).

    Return None if `data/fetch` does not have the version's dataset.
    """
    if not (FETCH / files.ABOUT_FILE).exists():
        return None
    digests = {
        TRAINING_DIGEST: files.joint_digest(FETCH, array_names("train")),
        TEST_DIGEST: files.joint_digest(FETCH, array_names("test")),
    }
    if not digests.items() <= version.tags.items():
        return None
    return review_hashes(files.read_reviews(FETCH, "train"))


def write_and_log(request: FileRequest, predictions: pd.DataFrame) -> tuple[str, Path]:
    """Write the evaluation into a folder, and log it.

    Returns:
        The run's id, and the folder.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    evaluation = evaluate_table(predictions, request.file, request.name, request.params)
    about = request.about
    tags = {OF_TAG: str(request.version.run_id), "dataset": request.file}
    with run_with_versions([request.version], request.name, about.flat_params(), tags) as run:
        folder = REPORTS / f"evaluate-file-{run.run_id}"
        with files.atomic_folder(folder) as partial:
            outputs.write_evaluation(partial, evaluation)
            write_about(partial, about)
        dataset = tracking.describe_file(
            request.file, "evaluation", request.file, request.digest[:8], len(predictions)
        )
        metrics = flatten_metrics(evaluation.metrics)
        model_id = tracking.model_id_of(request.version)
        tracking.log_evaluation(run, folder, metrics, dataset, model_id)
    return run.run_id, folder


def format_result(result: Mapping[str, Any]) -> str:
    """Return the result of `evaluate_file` as a text for a reader."""
    texts = f"{result['reviews']:,} texts"
    if result["also_in_training"] is None:
        texts += (
            ". It is not known whether any of them are in the training set: that needs the texts, "
            f"and the model's dataset in {FETCH}."
        )
    else:
        texts += f", {result['also_in_training']:,} of them also in the training set"
    return (
        f"{result['model']} on {result['file']}\n{texts}\n{result['table']}\n"
        f"Run {result['run_id']}; tables and plots in {result['folder']}"
    )
