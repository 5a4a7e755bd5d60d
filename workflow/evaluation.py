"""What the stages wrote as an evaluation reads it, and how it is written, logged and registered.

Logged again, nothing is there twice: `make sync` logs in this way what a run lacks.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sentiment.evaluation.evaluate import EvalDataset, Evaluation, TrainingRecord, flatten_metrics
from sentiment.gradients import as_metric
from sentiment.profile import build_profile
from sentiment.tokenizer import Layout, ReadLimits
from workflow import files
from workflow.files import EVALUATE, FETCH, PAD, TEST_DATA, TRAIN, arrays, read_reviews
from workflow.params import Promote, tokenizer_of
from workflow.registry import versions
from workflow.registry.packaging import Model, Parts
from workflow.registry.rule import read_evaluated
from workflow.registry.versions import Served
from workflow.runs.logger import RunLogger, now

TEXT = "text"  # column of the table of mistakes
FORMULA = re.compile(r"^(?=[\W_])")  # may be the start of one
GRADIENTS, HISTORY = "gradients.csv", "history.csv"
GRADIENT = "gradient_norm"  # metric, whose steps are words before the last one


class RecordedTraining(NamedTuple):
    """What `data/train` has of a training, but for the model: flat params, tables and its run."""

    params: dict[str, Any]
    history: pd.DataFrame
    gradients: pd.DataFrame
    run: dict[str, Any]

    @property
    def record(self) -> TrainingRecord:
        """The part that an evaluation needs."""
        return TrainingRecord(self.run["name"], self.history, self.gradients)


class TestIdentity(NamedTuple):
    """The reviews that a model was asked about, as MLflow names a data set."""

    dataset: str
    digest: str


def publish(
    log: RunLogger,
    folder: Path,
    metrics: Mapping[str, Any],
    test: TestIdentity,
    served: Served | None = None,
) -> None:
    """Log an evaluation, leaving the run's status and its end time alone; register what is served.

    `folder` is one that `write` wrote, with its `about.json`, and with `HISTORY` if it has all that
    is known of how the model was made. A UserError is raised where a file was changed.
    """
    names = files.read_about(folder)["files"]
    if GRADIENTS in names:
        norms = as_metric(pd.read_csv(files.checked(folder / GRADIENTS)), GRADIENT)
        log.curves(norms, [now()] * len(norms))
    if HISTORY in names:
        log.folder(folder, TRAIN.name, [HISTORY])
        log.complete(TRAIN.name, folder)
    log.metrics(flatten_metrics(metrics), *test)
    log.folder(folder, EVALUATE.name, [*names, files.ABOUT])
    if served:
        # the version's tags have the test's metrics
        tags = {name: str(value) for name, value in metrics.items() if not isinstance(value, dict)}
        served = served._replace(tags={**tags, **served.tags})
        versions.register(log, served, folder, profile_of(folder, served.parts))
        log.complete(EVALUATE.name, folder)


def profile_of(folder: Path, parts: Parts) -> dict[str, Any]:
    """The profile of a model by the texts in `data/fetch` and the folder of its evaluation."""
    layouts = [model.settings.get("layout") for model in parts.models]
    reads = ReadLimits.from_layouts(layouts, len(read_words()) - 1)
    reviews = {part: read_reviews(FETCH, part) for part in ("train", "test")}
    (dropped,) = files.read_arrays(FETCH, ["test_dropped"])
    profile = build_profile(reviews, dropped, read_evaluated(folder).predictions, reads)
    return {"tokenizer": parts.tokenizer, "threshold": parts.threshold, **profile}


def publish_outputs(
    log: RunLogger, metrics: Mapping[str, Any], test: EvalDataset, rule: Promote
) -> None:
    """Log all of `data/evaluate`, and register the model of `data/train`; see `publish`."""
    dataset = f"{metrics['dataset']}-test"
    log.dataset(dataset, "test", (test.x, test.y), PAD, test.digest)
    data = {"data.x_train.sha256": files.read_about(PAD)["files"]["x_train.npy"]}
    served = Served(served_parts(), evaluated_digests() | data, rule)
    publish(log, EVALUATE, metrics, TestIdentity(dataset, test.digest), served)


def served_parts() -> Parts:
    """What the served model is made from: the model, the word index, and how both were used."""
    used = files.read_about(EVALUATE)["params"]
    layout = Layout(**{field.name: used[f"pad.{field.name}"] for field in fields(Layout)})
    settings = {"layout": asdict(layout), "batch_size": used["evaluate.batch_size"]}
    model = Model(files.checked(TRAIN / "model.keras"), settings)
    index = files.checked(FETCH / "word_index.json")
    return Parts([model], index, used["evaluate.threshold"], tokenizer=tokenizer_of(used))


def write(folder: Path, evaluation: Evaluation) -> None:
    """Write metrics, probabilities, tables and plots into a folder."""
    files.write_json(folder / "metrics.json", evaluation.metrics)
    files.write_arrays(folder, {"probabilities": evaluation.probabilities})
    for name, table in evaluation.tables.items():
        write_table(folder / f"{name}.csv", table)
    for name, plot in evaluation.plots.items():
        plot.savefig(folder / f"{name}.png")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV; only `read_table` reads its texts as they are.

    A spreadsheet takes a text such as `=1+1` for a formula. So a text that does not begin with a
    letter or a digit has an apostrophe before it.
    """
    if TEXT not in table:
        table.to_csv(path, index=False)
        return
    texts = [FORMULA.sub("'", text) for text in table[TEXT]]
    # all in quotes: pandas writes a carriage return without them, and reads it as a line's end
    table.assign(text=texts).to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)


def read_table(path: Path) -> pd.DataFrame:
    """Read what `write_table` wrote; a text stays one, even such as `null` or `7`."""
    table = pd.read_csv(path, dtype={TEXT: str}, keep_default_na=False)
    if TEXT in table:
        table[TEXT] = [text.removeprefix("'") for text in table[TEXT]]
    return table


def read_test() -> EvalDataset:
    """Read the test part from `data/pad` and `data/fetch`."""
    x, y, order, seen = files.read_arrays(PAD, ["x_test", "y_test", "test_order", "test_seen"])
    digest = files.short_digest(PAD, ["x_test", "y_test"])
    return EvalDataset(x, y, order, seen, read_reviews(FETCH, "test"), digest)


def read_words() -> list[str]:
    """Read the vocabulary: the word of frequency rank r is at r; rank 0 has none."""
    index = files.read_json(files.checked(FETCH / "word_index.json"))
    return ["", *sorted(index, key=index.__getitem__)]


def read_training() -> RecordedTraining:
    """Read what is known of the training from `data/train`."""
    history = pd.read_csv(files.checked(TRAIN / "history.csv"))
    gradients = pd.read_csv(files.checked(TRAIN / "gradients.csv"))
    run = files.read_json(files.checked(TRAIN / "run.json"))
    return RecordedTraining(files.read_about(TRAIN)["params"], history, gradients, run)


def evaluated_digests() -> dict[str, str]:
    """Digests of the model and the test set as they are now, to identify later what was evaluated.

    `TEST_DATA` is that of the reviews themselves, however they are cut and padded: models
    that were asked about the same reviews can be compared.
    """
    return {
        "model.sha256": files.read_about(TRAIN)["files"]["model.keras"],
        "data.x_test.sha256": files.read_about(PAD)["files"]["x_test.npy"],
        TEST_DATA: files.joint_digest(FETCH, arrays("test")),
    }
