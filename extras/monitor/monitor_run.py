"""Texts compared with the profile of the model that answers them: a report, a run, charts."""

import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from workflow.ending import escape
from workflow.evaluation import FORMULA
from workflow.runs.logger import RunLogger, guarded, now

from extras.common import page, run_groups
from extras.common.significance import CONFIDENCE, wilson
from extras.monitor import shift, window
from extras.monitor.shift import MonitorOptions
from sentiment.data.params import file_name
from sentiment.errors import UserError
from sentiment.evaluation.metrics import POSITIVE
from sentiment.section import flatten
from sentiment.tokenizer import encode
from workflow import files
from workflow.params import load, load_params
from workflow.registry import champion
from workflow.registry import versions as registry
from workflow.runs import store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

OPTIONS = Path("extras", "monitor", "monitor.yaml")
TEMPLATE = Path(__file__).with_name("templates") / "monitor.html"
REPORTS, PAGE = Path("reports"), "report.html"
ALARM, WITHIN, FEW = "alarm", "within limits", "too few texts"
OF = "monitor.of"  # tag of the run that lasts: the registered model
STATUS = "monitor.status"  # tag of the version, and of the report's run
DAY = 24 * 3600 * 1000  # milliseconds


def make(file: str, chosen: str | None, column: str | None, labels: int) -> dict[str, Any]:
    """Compare a log or texts with the profile of the champion, or of a chosen model; log that.

    The texts are in a column, by default that of `fetch.table`. So many are written to be labelled.

    Returns:
        What `make monitor JSON=1` prints.

    Raises:
        UserError: the file or the model is not as it has to be, or the store cannot be used.
    """
    options, settings, moment = load(MonitorOptions, OPTIONS), load_params().fetch.table, now()
    version = champion.version(chosen)
    described, model = registry.profile_of(version), f"models:/{version.name}/{version.version}"
    if logs := window.logs(Path(file)):
        seen = window.read_log(logs, model)
        with suppress(ValueError):
            moment = pd.Timestamp(logs[-1].stem).value // 10**6
    else:
        column = column or settings.text
        seen = window.read_file(file, column, settings.longest, champion.load(model))
    numbers, sample = window.collect(seen, max(options.sample, labels))
    if numbers.empty:
        raise UserError(f"{file} has no text, or none that {model} answered: name it (MODEL=…).")
    if len(sample) < labels:
        raise UserError(f"{file} has {len(sample):,} texts to label; `LOG_TEXTS=1` logs them.")
    report = {"file": file_name(file.rstrip("/")), "model": model, "moment": moment}
    report |= compare(numbers, sample, model, described, options)
    # a space keeps a text from being a formula in a spreadsheet, and is in no word
    rows = pd.DataFrame({settings.text: [FORMULA.sub(" ", text) for text in sample[:labels]]})
    rows[settings.label] = ""
    return write_and_log(report, version, flatten(options, "monitor"), rows)


def compare(
    seen: pd.DataFrame,
    sample: list[str],
    model: str,
    described: Mapping[str, Any],
    options: MonitorOptions,
) -> dict[str, Any]:
    """What there is to say of texts, see `window.collect`."""
    import mlflow

    words, moved = [], pd.DataFrame()
    if sample:
        ranks = mlflow.artifacts.load_dict(f"{model}/artifacts/word_index.json")
        encoded = (encode(text, ranks, described["tokenizer"]).ranks for text in sample)
        words = [np.array(text, np.int64) for text in encoded]
        names = sorted(ranks, key=ranks.__getitem__)
        moved = shift.moved(words, names, described, options.words)
    table, count = shift.effects(seen, words, described, options), len(seen)
    alarms = set(table.index[table["alarm"]])
    errors = known_errors(model, described, options.least)
    middle = shift.estimate(described, float(table["found"]["confidence"]))
    return {
        "status": FEW if count < options.least else ALARM if alarms else WITHIN,
        "texts": count,
        "effects": table.reset_index().to_dict("records"),
        "moved": moved.to_dict("records") if "word_use" in alarms else [],
        "accuracy": shift.plausible(middle, count, errors.values(), options),
        "test_accuracy": described["accuracy"],
        "errors": errors,
    }


def known_errors(model: str, described: Mapping[str, Any], least: int) -> dict[str, float]:
    """How far the estimate is off, by file, where `make evaluate` was asked about so many texts."""
    import mlflow

    client, experiment_id, errors = mlflow.MlflowClient(), store.connect(), dict[str, float]()
    which = f"params.`evaluation.model` = '{model}' AND attributes.status = 'FINISHED'"
    with store.as_user_error(), tempfile.TemporaryDirectory() as scratch:
        for run in client.search_runs([experiment_id], which):
            place = client.download_artifacts(run.info.run_id, "evaluate/predictions.csv", scratch)
            table = pd.read_csv(place)
            right, positive = table["predicted"] == table["actual"], table["predicted"] == POSITIVE
            confidence = shift.confidence(positive, table["probability"]).mean()
            if len(table) >= least:
                error = float(right.mean()) - shift.estimate(described, confidence)
                errors.setdefault(run.data.params["evaluation.file"], abs(error))  # the newest
    return errors


def write_and_log(
    report: dict[str, Any], version: "ModelVersion", settings: Mapping[str, Any], rows: pd.DataFrame
) -> dict[str, Any]:
    """Write the report, with texts to be labelled, and log it; return it with their places."""
    title, status = f"monitor {report['file']}", {STATUS: report["status"]}
    settings = {"monitor.model": report["model"], "monitor.file": report["file"], **settings}
    with run_groups.using([version], title, settings, status) as log:
        short = log.run.run_id[:8]
        folder = REPORTS / re.sub(r"[^\w.-]+", "-", f"{title}-{short}")
        report |= {"run_id": log.run.run_id, "page": str(folder / PAGE)}
        report["labels"] = str(folder / f"label-{short}.csv") if len(rows) else ""
        with files.replaced(folder) as partial:
            if report["labels"]:
                place = partial / Path(report["labels"]).name
                rows.to_csv(place, index=False, lineterminator="\r\n")
            html = page.render(TEMPLATE, report=report, accuracy=accuracy(report))
            (partial / PAGE).write_text(html, encoding="utf-8")
            files.write_about(partial, settings)
        log.folder(folder, "monitor", [PAGE, files.ABOUT])
        chart(log, version, report)
    return report


@guarded
def chart(log: RunLogger, version: "ModelVersion", report: Mapping[str, Any]) -> None:
    """Log the numbers, also at the day's step of the run that lasts, unless it is there; tag."""
    import mlflow
    from mlflow.entities import Metric

    client, moment, model_id = mlflow.MlflowClient(), report["moment"], champion.model_id(version)
    values = {row["quantity"]: row["found"] for row in report["effects"]}
    values |= {"texts": report["texts"], "alarm": float(report["status"] == ALARM)}
    values |= zip(("accuracy_low", "accuracy_high"), report["accuracy"] or (), strict=False)
    step = moment // DAY
    points = [
        Metric(f"monitor/{name}", value, moment, step, model_id) for name, value in values.items()
    ]
    client.log_batch(log.run.run_id, points)
    with run_groups.exclusive():
        lasting = run_groups.find_or_make(client, log.run.experiment_id, OF, version.name).info
        client.update_run(lasting.run_id, name=f"monitor of {version.name}")
        logged = client.get_metric_history(lasting.run_id, "monitor/texts")
        if step not in {point.step for point in logged}:
            client.log_batch(lasting.run_id, points)
    registry.tag(client, version, {STATUS: report["status"]})


def accuracy(report: Mapping[str, Any]) -> str:
    """What can be said of the accuracy, and what settles it."""
    said = "no estimate, since its range would be too wide to say anything"
    if not report["errors"]:
        said = "no estimate until `make evaluate` judged a labelled file by this model"
    if report["accuracy"]:
        said = "plausibly {:.2f} to {:.2f}".format(*report["accuracy"])
    ends = {count: wilson(count // 2, count, CONFIDENCE) for count in (100, 200, 400, 800)}
    settled = ", ".join(f"{count} ± {(end.high - end.low) / 2:.3f}" for count, end in ends.items())
    return (
        f"Accuracy without labels: {said} ({report['test_accuracy']:.3f} on the test set). What no "
        "method without labels sees: that words have come to mean something else, and that a model "
        f"is sure of what is wrong. Random labels give: {settled}."
    )


def summary(report: Mapping[str, Any]) -> str:
    """What is printed for a reader."""
    moved = ["{word} {expected:.0%} to {found:.0%}".format(**word) for word in report["moved"]]
    lines = [
        f"{report['file']}, {report['texts']:,} texts for {report['model']}: {report['status']}",
        pd.DataFrame(report["effects"]).round(3).to_string(index=False),
        *([f"Texts that have a word: {', '.join(moved)}"] if moved else []),
        accuracy(report),
        f"Run {report['run_id']}; page: {report['page']}",
    ]
    if file := report["labels"]:
        command = f"make evaluate FILE={file} MODEL={report['model']}"
        lines.append(f"Fill in the labels there, then: {command}")
    return escape("\n".join(lines))
