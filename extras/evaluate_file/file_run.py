"""An evaluation on labelled texts as a run in MLflow, linked to the model that was asked."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from numpy.typing import NDArray

from extras.common import run_groups
from extras.evaluate_file import file_answers
from extras.evaluate_file.file_answers import REQUEST_ID
from sentiment.data import rows
from sentiment.data.params import TableParams, file_name
from sentiment.data.rows import BinaryLabels, Columns, Source
from sentiment.errors import UserError
from sentiment.evaluation.evaluate import evaluate_predictions, flatten_metrics
from sentiment.evaluation.metrics import POSITIVE, Predictions
from sentiment.evaluation.params import EvaluateParams
from sentiment.section import flatten
from sentiment.tokenizer import review_hashes
from workflow import downloads, files, outputs, tracking
from workflow.about import About, write_about
from workflow.files import FETCH, array_names
from workflow.outputs import TEST_DIGEST
from workflow.params import load_params
from workflow.registry import champion, versions
from workflow.terminal import replace_control_characters

REPORTS = Path("reports")
OF = "evaluation.of"  # tag of the run: that of the model's training


class AboutFile(About):
    """What an evaluation on a file depends on.

    Attributes:
        evaluation: the model, the file, its SHA-256, and how it is read.
    """

    evaluation: dict[str, str]
    evaluate: EvaluateParams

    def flat_params(self) -> dict[str, Any]:
        evaluation = {f"evaluation.{name}": value for name, value in self.evaluation.items()}
        return {**evaluation, **flatten(self.evaluate, "evaluate")}


class FileRequest(NamedTuple):
    """What is evaluated: a version, on a file with this SHA-256 and these columns and labels."""

    version: ModelVersion
    file: str
    digest: str
    table: TableParams
    params: EvaluateParams

    @property
    def model(self) -> str:
        return champion.model_uri_of(self.version)

    @property
    def name(self) -> str:
        """The name of the run, and the title of each plot."""
        return f"version {self.version.version} of {self.version.name} on {self.file}"

    @property
    def about(self) -> AboutFile:
        evaluation = {
            "model": self.model,
            "file": self.file,
            "file_sha256": self.digest,
            **self.table.model_dump(include={"text", "label", "positive"}),
        }
        return AboutFile(evaluation=evaluation, evaluate=self.params)


def make(file: str, changes: Mapping[str, str], model: str | None, log: str) -> dict[str, Any]:
    """Evaluate the champion or another model on a file, and log that.

    Args:
        file: a path or an address.
        changes: `text`, `label` and `positive` where they are not those of `fetch.table`.
        model: as MLflow names it; None: the champion.
        log: the folder of its answers to requests, whose ids are the file's texts; else empty.

    Returns:
        What `make evaluate JSON=1` prints.

    Raises:
        UserError: the file or the model is not as it has to be, or the store cannot be used.
    """
    params = load_params()
    table = params.fetch.table
    table = table.model_copy(update={"text": REQUEST_ID if log else table.text, **changes})
    with downloads.local_copy(file) as source:
        digest = files.sha256(source.path)
        version = champion.resolve_version(model)
        request = FileRequest(version, file_name(file), digest, table, params.evaluate)
        answers = ask(request, source, log)
    own = versions.load_evaluation(version).predictions
    bins = params.evaluate.calibration_bins
    metrics = file_answers.compared(Predictions(answers, bins), Predictions(own, bins))
    run_id, folder = write_and_log(request, answers)
    return {
        "run_id": run_id,
        "model": request.model,
        "file": request.file,
        "folder": str(folder),
        "reviews": len(answers),
        "positive": int((answers["actual"] == POSITIVE).sum()),
        "also_in_training": int(answers["seen_in_training"].sum()),
        "metrics": {name: metric._asdict() for name, metric in metrics.items()},
        "table": file_answers.table(metrics),
    }


def ask(request: FileRequest, source: Source, log: str) -> pd.DataFrame:
    """Return the predictions for the texts of a file, or those in a log, see `file_answers`."""
    table = request.table
    labels = BinaryLabels(table.positive, table.label)
    texts = rows.read_labeled_rows(source, Columns(table.text, table.label), table.longest)
    model = champion.load_model(request.model)
    if log:
        labels_by_id = dict[str, bool]()
        for row in texts:
            is_positive = labels.is_positive(row)
            if labels_by_id.setdefault(row.text, is_positive) != is_positive:
                raise UserError(f"{row.location}: {row.text} has both labels.")
        answers = file_answers.logged(Path(log), request.model, labels_by_id, model.threshold)
    else:
        known = trained_on(request.version)
        answers = file_answers.ask(model, texts, labels.is_positive, known)
    labels.check_both_present(
        (answers["actual"] == POSITIVE).to_numpy().astype(np.uint8), source.name
    )
    return answers


def trained_on(version: ModelVersion) -> NDArray[np.uint64]:
    """Return hashes of the reviews that a version was trained on, if `data/fetch` has them."""
    is_there = (FETCH / files.ABOUT_FILE).exists()
    if is_there and version.tags.get(TEST_DIGEST) == files.joint_digest(FETCH, array_names("test")):
        return review_hashes(files.read_reviews(FETCH, "train"))
    return np.zeros(0, np.uint64)


def write_and_log(request: FileRequest, answers: pd.DataFrame) -> tuple[str, Path]:
    """Evaluate the answers into a folder, and log that; return the run's id and the folder.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    texts = answers.set_index("review")["text"]
    evaluation = evaluate_predictions(
        answers.drop(columns="text"),
        lambda reviews: [texts[review] for review in reviews],
        request.file,
        request.name,
        request.params,
    )
    about = request.about
    tags = {OF: str(request.version.run_id), "dataset": request.file}
    with run_groups.run_with_versions(
        [request.version], request.name, about.flat_params(), tags
    ) as run:
        name = f"evaluate-{request.name}-{run.run_id[:8]}"
        folder = REPORTS / re.sub(r"[^\w.-]+", "-", name)
        with files.atomic_folder(folder) as partial:
            outputs.write_evaluation(partial, evaluation)
            write_about(partial, about)
        dataset = tracking.describe_file(
            request.file, "evaluation", request.file, request.digest[:8]
        )
        metrics = flatten_metrics(evaluation.metrics)
        model_id = tracking.model_id_of(request.version)
        tracking.log_evaluation(run, folder, metrics, dataset, model_id)
    return run.run_id, folder


def summary(result: Mapping[str, Any]) -> str:
    """Return the result of `make` as a text for a reader."""
    return replace_control_characters(
        f"{result['model']} on {result['file']}\n{result['reviews']:,} texts, "
        f"{result['also_in_training']:,} of them known from training\n{result['table']}\n"
        f"Run {result['run_id']}; tables and plots in {result['folder']}"
    )
