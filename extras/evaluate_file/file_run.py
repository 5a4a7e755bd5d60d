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
from sentiment.data import rows
from sentiment.data.params import TableParams, file_name
from sentiment.data.rows import BinaryLabels, Columns, Source
from sentiment.errors import UserError
from sentiment.evaluation.evaluate import evaluate_predictions
from sentiment.evaluation.metrics import POSITIVE, Predictions
from sentiment.section import flatten
from sentiment.tokenizer import review_hashes
from workflow import downloads, files
from workflow.ending import escape
from workflow.evaluation import TestIdentity, publish, write
from workflow.files import FETCH, TEST_DATA, arrays, read_reviews
from workflow.params import Params, load_params
from workflow.registry import champion
from workflow.registry import versions as registry
from workflow.registry.scoring_server import ID
from workflow.runs import store

REPORTS = Path("reports")
OF = "evaluation.of"  # tag of the run: that of the model's training


class FileRequest(NamedTuple):
    """What is evaluated: a version, on a file with this SHA-256, which is read by the settings."""

    version: ModelVersion
    file: str
    digest: str
    settings: TableParams
    params: Params

    @property
    def model(self) -> str:
        return f"models:/{self.version.name}/{self.version.version}"

    @property
    def name(self) -> str:
        """Of the run, and the title of each plot."""
        return f"version {self.version.version} of {self.version.name} on {self.file}"

    @property
    def settings_used(self) -> dict[str, Any]:
        """What shaped the evaluation, by dotted names."""
        columns = self.settings.model_dump(include={"text", "label", "positive"})
        return {
            "evaluation.model": self.model,
            "evaluation.file": self.file,
            "evaluation.file_sha256": self.digest,
            **{f"evaluation.{name}": value for name, value in columns.items()},
            **flatten(self.params.evaluate, "evaluate"),
        }


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
    settings = table.model_copy(update={"text": ID if log else table.text, **changes})
    with downloads.local(file) as source:
        digest, version = files.sha256(source.path), champion.version(model)
        request = FileRequest(version, file_name(file), digest, settings, params)
        answers = ask(request, source, log)
    with store.as_user_error():
        own = registry.evaluated_of(version).predictions
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
    """The model's answers to the texts of a file, or those in a log, see `file_answers`."""
    settings = request.settings
    labels = BinaryLabels(settings.positive, settings.label)
    texts = rows.read_labeled_rows(source, Columns(settings.text, settings.label), settings.longest)
    model, known = champion.load(request.model), trained_on(request.version)
    if log:
        numbers = dict[str, bool]()
        for row in texts:
            if numbers.setdefault(row.text, labels.is_positive(row)) != labels.is_positive(row):
                raise UserError(f"{row.location}: {row.text} has both labels.")
        table = file_answers.logged(Path(log), request.model, numbers, model.threshold)
    else:
        table = file_answers.ask(model, texts, labels.is_positive, known)
    labels.check_both_present(
        (table["actual"] == POSITIVE).to_numpy().astype(np.uint8), source.name
    )
    return table


def trained_on(version: ModelVersion) -> NDArray[np.uint64]:
    """Fingerprints of the reviews that a version was trained on, if `data/fetch` has them."""
    is_there = (FETCH / files.ABOUT).exists()
    if is_there and version.tags.get(TEST_DATA) == files.joint_digest(FETCH, arrays("test")):
        return review_hashes(read_reviews(FETCH, "train"))
    return np.zeros(0, np.uint64)


def write_and_log(request: FileRequest, answers: pd.DataFrame) -> tuple[str, Path]:
    """Evaluate the answers into a folder, and log that; return the run's id and the folder.

    Raises:
        UserError: the store cannot be used, or failed meanwhile.
    """
    texts = answers.set_index("review")["text"]
    evaluation = evaluate_predictions(
        answers.drop(columns="text"),
        lambda reviews: [texts[review] for review in reviews],
        request.file,
        request.name,
        request.params.evaluate,
    )
    tags = {OF: str(request.version.run_id), "dataset": request.file}
    with run_groups.using([request.version], request.name, request.settings_used, tags) as log:
        log.run = log.run._replace(model_id=champion.model_id(request.version))
        name = f"evaluate-{request.name}-{log.run.run_id[:8]}"
        folder = REPORTS / re.sub(r"[^\w.-]+", "-", name)
        with files.replaced(folder) as partial:
            write(partial, evaluation)
            files.write_about(partial, request.settings_used)
        test = TestIdentity(request.file, request.digest[:8])
        log.dataset(test.dataset, "evaluation", None, request.file, test.digest)
        publish(log, folder, evaluation.metrics, test)
    return log.run.run_id, folder


def summary(result: Mapping[str, Any]) -> str:
    """What `make` returns, for a reader."""
    return escape(
        f"{result['model']} on {result['file']}\n{result['reviews']:,} texts, "
        f"{result['also_in_training']:,} of them known from training\n{result['table']}\n"
        f"Run {result['run_id']}; tables and plots in {result['folder']}"
    )
