"""What `evaluate` writes and logs to the training's run, and how it registers the model."""

import csv
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from sentiment.data.dataset import tokenizer_of
from sentiment.gradients import curve
from sentiment.scoring.evaluation import Evaluation, numbers
from sentiment.text import Layout
from workflow import files
from workflow.files import EVALUATE, FETCH, PAD, TRAIN
from workflow.outputs import TestSet, evaluated_digests
from workflow.params import Promote
from workflow.registry import versions
from workflow.registry.packaging import Model, Parts
from workflow.runs import log
from workflow.runs.tracking import Tracker

TEXT = "text"  # column of the table of mistakes
CELL_STARTS = re.compile(r"^(?=[\W_])|(?<=[;\t\r\n])(?='*[=+\-@＝＋－＠])")
MARKED_STARTS = re.compile(r"^'|(?<=[;\t\r\n])'(?='*[=+\-@＝＋－＠])")
GRADIENT = "gradient_norm"  # metric, whose steps are words before the last one


def log_outputs(tracker: Tracker, metrics: dict[str, Any], test: TestSet, rule: Promote) -> None:
    """Log all of `data/evaluate`, leaving the run's status and its end time alone.

    The model is registered as it is served, and the rule decides whether it is the new champion.

    Raises:
        UserError: a file is not as `evaluate` wrote it.
    """
    dataset = f"{metrics['dataset']}-test"
    tracker.log(log.dataset, dataset, "test", (test.x, test.y), PAD, test.digest)
    norms = curve(pd.read_csv(files.checked(EVALUATE / "gradients.csv")), GRADIENT)
    tracker.log(log.curves, norms, [time.time_ns() // 10**6] * len(norms))
    log_answers(tracker, EVALUATE, metrics, test.digest)
    tracker.log(versions.register, served_parts(), EVALUATE, _version_tags(metrics), rule)
    tracker.log(log.complete, EVALUATE.name, EVALUATE)


def log_answers(tracker: Tracker, folder: Path, metrics: dict[str, Any], digest: str) -> None:
    """Log the metrics of the test set, and a folder with all that follows from the answers.

    Args:
        tracker: of the run.
        folder: that `write` wrote, with its `about.json`.
        metrics: see `sentiment.scoring.evaluation.Evaluation`.
        digest: of the test set, as MLflow names it.

    Raises:
        UserError: a file is not as it was written.
    """
    tracker.log(log.metrics, numbers(metrics), f"{metrics['dataset']}-test", digest)
    names = sorted(files.read_about(folder)["files"])
    for name in names:
        files.checked(folder / name)
    tracker.log(log.folder, folder, [*names, files.ABOUT], EVALUATE.name)


def log_model(
    tracker: Tracker,
    folder: Path,
    metrics: dict[str, Any],
    digest: str,
    parts: Parts,
    tags: Mapping[str, str],
    rule: Promote,
) -> None:
    """Log a model beside the pipeline with all of its folder, and register it.

    Args:
        tracker: of the run.
        folder: with `history.csv`, and as `log_answers` wants it.
        metrics: see `log_answers`.
        digest: see `log_answers`.
        parts: what the served model is made from.
        tags: of its version, beside the metrics.
        rule: the `promote` section.
    """
    tracker.log(log.folder, folder, ["history.csv"], TRAIN.name)
    tracker.log(log.complete, TRAIN.name, folder)
    log_answers(tracker, folder, metrics, digest)
    tracker.log(versions.register, parts, folder, metric_tags(metrics) | dict(tags), rule)
    tracker.log(log.complete, EVALUATE.name, folder)


def served_parts() -> Parts:
    """What the served model is made from: the model, the word index, and how both were used."""
    shaping = files.read_about(EVALUATE)["params"]
    layout = Layout(**{field.name: shaping[f"pad.{field.name}"] for field in fields(Layout)})
    settings = {"layout": asdict(layout), "batch_size": shaping["evaluate.batch_size"]}
    model = Model(files.checked(TRAIN / "model.keras"), settings)
    index = files.checked(FETCH / "word_index.json")
    return Parts([model], index, shaping["evaluate.threshold"], tokenizer=tokenizer_of(shaping))


def _version_tags(metrics: dict[str, Any]) -> dict[str, str]:
    """Tags of the registered version: the test's metrics, and digests of data and model."""
    data = files.read_about(PAD)["files"]["x_train.npy"]
    return {**metric_tags(metrics), **evaluated_digests(), "data.x_train.sha256": data}


def metric_tags(metrics: dict[str, Any]) -> dict[str, str]:
    """The test's metrics as tags of a registered version."""
    return {key: str(value) for key, value in metrics.items() if not isinstance(value, dict)}


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
    letter or a digit has an apostrophe before it, and so has a formula within a text where a
    spreadsheet that splits at semicolons or tabs would begin a cell.
    """
    if TEXT not in table:
        table.to_csv(path, index=False)
        return
    texts = [CELL_STARTS.sub("'", text) for text in table[TEXT]]
    # all in quotes: pandas writes a carriage return without them, and reads it as a line's end
    table.assign(text=texts).to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC)


def read_table(path: Path) -> pd.DataFrame:
    """Read what `write_table` wrote; a text stays one, even such as `null` or `7`."""
    table = pd.read_csv(path, dtype={TEXT: str}, keep_default_na=False)
    if TEXT not in table:
        return table
    return table.assign(text=[MARKED_STARTS.sub("", text) for text in table[TEXT]])
