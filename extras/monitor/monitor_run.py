"""Texts compared with the profile of the model that answers them: a report, a run, charts."""

import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from extras.common import page, run_groups
from extras.common.significance import CONFIDENCE, wilson
from extras.monitor import shift, window
from extras.monitor.shift import MonitorOptions
from sentiment.data.params import file_name
from sentiment.errors import UserError
from sentiment.evaluation.metrics import POSITIVE
from sentiment.section import flatten
from sentiment.tokenizer import encode
from workflow import files, store, tracking
from workflow.about import About, write_about
from workflow.outputs import FORMULA_START
from workflow.params import load_params, load_yaml
from workflow.registry import champion, versions
from workflow.terminal import replace_control_characters
from workflow.tracking import Run, calls_store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

OPTIONS = Path("extras", "monitor", "monitor.yaml")
TEMPLATE = Path(__file__).with_name("templates") / "monitor.html"
REPORTS, PAGE = Path("reports"), "report.html"
ALARM, WITHIN, FEW = "alarm", "within limits", "too few texts"
OF = "monitor.of"  # tag of the run that lasts: the registered model
STATUS = "monitor.status"  # tag of the version, and of the report's run
DAY = 24 * 3600 * 1000  # milliseconds


class AboutMonitor(About):
    """What a report depends on: a model version, a file, and the options."""

    model: str
    file: str
    options: MonitorOptions

    def flat_params(self) -> dict[str, Any]:
        return {
            "monitor.model": self.model,
            "monitor.file": self.file,
            **flatten(self.options, "monitor"),
        }


def make(file: str, chosen: str | None, column: str | None, labels: int) -> dict[str, Any]:
    """Compare a log or texts with the profile of the champion, or of a chosen model; log that.

    The texts are in a column, by default that of `fetch.table`. So many are written to be labelled.

    Returns:
        What `make monitor JSON=1` prints.

    Raises:
        UserError: the file or the model is not as it has to be, or the store cannot be used.
    """
    options = load_yaml(MonitorOptions, OPTIONS)
    table = load_params().fetch.table
    moment = tracking.now_ms()
    version = champion.resolve_version(chosen)
    model = champion.model_uri_of(version)
    described = versions.load_profile(version)
    if logs := window.logs(Path(file)):
        seen = window.read_log(logs, model)
        with suppress(ValueError):
            moment = pd.Timestamp(logs[-1].stem).value // 10**6
    else:
        column = column or table.text
        seen = window.read_file(file, column, table.longest, champion.load_model(model))
    numbers, sample = window.collect(seen, max(options.sample, labels))
    if numbers.empty:
        raise UserError(f"{file} has no text, or none that {model} answered: name it (MODEL=…).")
    if len(sample) < labels:
        raise UserError(f"{file} has {len(sample):,} texts to label; `LOG_TEXTS=1` logs them.")
    report = {"file": file_name(file.rstrip("/")), "model": model, "moment": moment}
    report |= compare(numbers, sample, model, described, options)
    # a space keeps a text from being a formula in a spreadsheet, and is in no word
    rows = pd.DataFrame({table.text: [FORMULA_START.sub(" ", text) for text in sample[:labels]]})
    rows[table.label] = ""
    about = AboutMonitor(model=model, file=str(report["file"]), options=options)
    return write_and_log(report, version, about, rows)


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


@calls_store
def known_errors(model: str, described: Mapping[str, Any], least: int) -> dict[str, float]:
    """Return how far the estimate is off, by file that `make evaluate` evaluated this model on.

    Args:
        least: files with fewer texts do not count.
    """
    import mlflow

    client = mlflow.MlflowClient()
    errors = dict[str, float]()
    which = f"params.`evaluation.model` = '{model}' AND attributes.status = 'FINISHED'"
    with tempfile.TemporaryDirectory() as scratch:
        for run in client.search_runs([store.connect()], which):
            path = client.download_artifacts(run.info.run_id, "evaluate/predictions.csv", scratch)
            table = pd.read_csv(path)
            right = table["predicted"] == table["actual"]
            positive = table["predicted"] == POSITIVE
            confidence = shift.confidence(positive, table["probability"]).mean()
            if len(table) >= least:
                error = float(right.mean()) - shift.estimate(described, confidence)
                errors.setdefault(run.data.params["evaluation.file"], abs(error))  # the newest
    return errors


def write_and_log(
    report: dict[str, Any], version: "ModelVersion", about: AboutMonitor, rows: pd.DataFrame
) -> dict[str, Any]:
    """Write the report, with texts to be labelled, and log it; return it with their paths.

    Raises:
        StoreError: the tracking store cannot be used.
    """
    title = f"monitor {report['file']}"
    tags = {STATUS: report["status"]}
    with run_groups.run_with_versions([version], title, about.flat_params(), tags) as run:
        short = run.run_id[:8]
        folder = REPORTS / re.sub(r"[^\w.-]+", "-", f"{title}-{short}")
        report |= {"run_id": run.run_id, "page": str(folder / PAGE)}
        report["labels"] = str(folder / f"label-{short}.csv") if len(rows) else ""
        with files.atomic_folder(folder) as partial:
            if report["labels"]:
                path = partial / Path(report["labels"]).name
                rows.to_csv(path, index=False, lineterminator="\r\n")
            html = page.render(TEMPLATE, report=report, accuracy=accuracy(report))
            (partial / PAGE).write_text(html, encoding="utf-8")
            write_about(partial, about)
        tracking.log_files(run, folder, [PAGE, files.ABOUT_FILE], "monitor")
        chart(run, version, report)
    return report


@calls_store
def chart(run: Run, version: "ModelVersion", report: Mapping[str, Any]) -> None:
    """Log the numbers, also at the day's step of the run that lasts, unless it is there; tag."""
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()
    moment = report["moment"]
    model_id = tracking.model_id_of(version)
    values = {row["quantity"]: row["found"] for row in report["effects"]}
    values |= {"texts": report["texts"], "alarm": float(report["status"] == ALARM)}
    values |= zip(("accuracy_low", "accuracy_high"), report["accuracy"] or (), strict=False)
    step = moment // DAY
    points = [
        Metric(f"monitor/{name}", value, moment, step, model_id) for name, value in values.items()
    ]
    tracking.log_points(run, points)
    with run_groups.exclusive():
        lasting = tracking.parent_run(OF, version.name, f"monitor of {version.name}")
        logged = client.get_metric_history(lasting.run_id, "monitor/texts")
        if step not in {point.step for point in logged}:
            tracking.log_points(lasting, points)
    versions.set_version_tags(client, version, {STATUS: report["status"]})


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
    return replace_control_characters("\n".join(lines))
