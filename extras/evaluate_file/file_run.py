"""An evaluation on labelled texts as a run in MLflow, linked to the model that was asked."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from filelock import FileLock

from extras.common.significance import CONFIDENCE
from extras.evaluate_file import file_answers
from extras.evaluate_file.file_answers import TEXT, Compared
from sentiment.data import rows
from sentiment.data.dataset import Table, file_name
from sentiment.data.rows import Columns, Labels, Source
from sentiment.errors import UserError
from sentiment.scoring.answers import Evaluation, evaluate_answers
from sentiment.scoring.metrics import POSITIVE, Predictions
from sentiment.section import flatten
from sentiment.text import fingerprints
from workflow import downloads, files
from workflow.ending import escape
from workflow.evaluation import TestIdentity, publish, write
from workflow.files import FETCH, TEST_DATA, arrays, read_reviews
from workflow.params import Params, load_params
from workflow.registry import champion
from workflow.registry import versions as registry
from workflow.runs import identity, lifecycle, store
from workflow.runs.identity import provenance
from workflow.runs.logger import RunLogger

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

REPORTS = Path("reports")
FORBIDDEN_IN_NAMES = re.compile(r"[^\w.-]+")
OF = "evaluation.of"  # tag of the run: that of the model's training
UNLOGGED = "Logging to MLflow stops here"


class FileResult(NamedTuple):
    """What is reported: the run, the model, the file, and each metric with that of the test set."""

    run_id: str
    model: str
    file: str
    folder: str
    reviews: int
    positive: int
    also_in_training: int
    metrics: dict[str, Mapping[str, Any]]
    table: str


class FileRequest(NamedTuple):
    """What is evaluated.

    Attributes:
        version: of the registered model.
        file: name of the file.
        digest: SHA-256 of the file.
        settings: how it is read.
        params: all of them.
    """

    version: "ModelVersion"
    file: str
    digest: str
    settings: Table
    params: Params

    @property
    def name(self) -> str:
        """Of the run, and the title of each plot."""
        return f"version {self.version.version} of {self.version.name} on {self.file}"

    @property
    def settings_used(self) -> dict[str, Any]:
        """What shaped the evaluation, by dotted names."""
        read = self.settings.model_dump(include={"text", "label", "positive"})
        return {
            "evaluation.model": f"models:/{self.version.name}/{self.version.version}",
            "evaluation.file": self.file,
            "evaluation.file_sha256": self.digest,
            **{f"evaluation.{name}": value for name, value in read.items()},
            **flatten(self.params.evaluate, "evaluate"),
        }


def make(file: str, columns: Mapping[str, str], model: str | None) -> FileResult:
    """Evaluate a registered model on a file, and log that.

    Args:
        file: a path or an address.
        columns: `text`, `label` and `positive` where they are not those of `fetch.table`.
        model: as MLflow names it; None: the champion.

    Raises:
        UserError: the file or the model is not as it has to be, or the store cannot be used.
    """
    params = load_params()
    settings = params.fetch.table.model_copy(update=dict(columns))
    with downloads.local(file) as source:
        name, digest = file_name(file), files.sha256(source.path)
        request = FileRequest(champion.version(model), name, digest, settings, params)
        table = predictions(request, source)
    metrics, outcome = compared(request, table), evaluation(request, table)
    with begun(request) as log:
        run_id = log.run.run_id
        folder = REPORTS / FORBIDDEN_IN_NAMES.sub("-", f"evaluate-{request.name}-{run_id[:8]}")
        with files.replaced(folder) as partial:
            write(partial, outcome)
            files.write_about(partial, request.settings_used)
        log_evaluation(log, request, folder, outcome.metrics | file_answers.intervals(metrics))
    return result(request, run_id, folder, table, metrics)


def compared(request: FileRequest, table: pd.DataFrame) -> list[Compared]:
    """The metrics on the texts beside those on the model's own test set."""
    with store.as_user_error():
        own = registry.evaluated_of(request.version).predictions
    bins, level = request.params.evaluate.calibration_bins, CONFIDENCE
    return list(file_answers.compared(Predictions(table, bins), Predictions(own, bins), level))


def result(
    request: FileRequest,
    run_id: str,
    folder: Path,
    table: pd.DataFrame,
    metrics: Sequence[Compared],
) -> FileResult:
    """What is reported of an evaluation."""
    return FileResult(
        run_id=run_id,
        model=request.settings_used["evaluation.model"],
        file=request.file,
        folder=str(folder),
        reviews=len(table),
        positive=int((table["actual"] == POSITIVE).sum()),
        also_in_training=int(table["seen_in_training"].sum()),
        metrics=file_answers.document(metrics),
        table=file_answers.table(metrics, CONFIDENCE),
    )


def predictions(request: FileRequest, source: Source) -> pd.DataFrame:
    """The model's answers to the texts of a file, see `file_answers.ask`."""
    settings = request.settings
    labels = Labels(settings.positive, settings.label)
    texts = rows.read(source, Columns(settings.text, settings.label), settings.longest)
    model = champion.load(request.settings_used["evaluation.model"])
    if not hasattr(model, "reader"):
        raise UserError(
            f"{request.version.name} {request.version.version} was registered before models could "
            "be evaluated on other texts: train again, or name a newer version."
        )
    table = file_answers.ask(model, texts, labels.is_positive, trained_on(request.version))
    labels.require_both((table["actual"] == POSITIVE).to_numpy().astype(np.uint8), source.name)
    return table


def trained_on(version: "ModelVersion") -> set[int]:
    """Fingerprints of the reviews that a version was trained on, if `data/fetch` has them."""
    if not (FETCH / files.ABOUT).exists():
        return set()
    if version.tags.get(TEST_DATA) != files.joint_digest(FETCH, arrays("test")):
        return set()
    return set(fingerprints(read_reviews(FETCH, "train")).tolist())


def evaluation(request: FileRequest, table: pd.DataFrame) -> Evaluation:
    """All that follows from the answers."""
    texts = table.set_index("review")[TEXT]
    return evaluate_answers(
        table.drop(columns=TEXT),
        lambda reviews: [texts[review] for review in reviews],
        request.file,
        request.name,
        request.params.evaluate,
    )


@contextmanager
def begun(request: FileRequest) -> Iterator[RunLogger]:
    """Begin the evaluation's run, which ends as the block ends; raises UserError as `start_run`."""
    tags = {OF: str(request.version.run_id), "dataset": request.file}
    with (
        tempfile.TemporaryDirectory() as scratch,
        FileLock(Path(scratch, "lock")) as lock,
        lifecycle.start_run(
            request.name,
            request.settings_used,
            {**tags, **provenance(), **identity.describe()},
            lock=Path(lock.lock_file),
            with_model=False,
        ) as log,
    ):
        log.consequence = UNLOGGED
        log.run = log.run._replace(model_id=champion.model_id(request.version))
        yield log


def log_evaluation(
    log: RunLogger, request: FileRequest, folder: Path, metrics: Mapping[str, Any]
) -> None:
    """Log an evaluation to its run.

    Raises:
        UserError: the store failed meanwhile.
    """
    champion.log_use(log, [request.version])
    asked = TestIdentity(request.file, request.digest[:8])
    log.dataset(request.file, "evaluation", None, request.file, asked.digest)
    publish(log, folder, metrics, asked)
    if log.lost:
        raise UserError(
            f"{folder} is complete, its run in MLflow is not: mend what is named above and run the "
            "command again."
        )


def summary(result: FileResult) -> str:
    """What is reported, for a reader."""
    also = (
        f", {result.also_in_training:,} of them also in training" if result.also_in_training else ""
    )
    return escape(
        f"{result.model} on {result.file}\n"
        f"{result.reviews:,} texts, {result.positive:,} positive{also}\n"
        f"{result.table}\n"
        f"Run {result.run_id}; tables and plots in {result.folder}"
    )
