"""Compare texts with the reference profile of a model version, and log the report to MLflow."""

import csv
import os
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from extras.common import parent_runs
from extras.common.model_versions import resolve_project_version, run_with_versions
from extras.common.reports import REPORTS
from extras.monitor import drift, page, window
from extras.monitor.drift import WORD_USE, ChangedWord, Effect, MonitorConfig
from extras.monitor.window import Window
from sentiment.data.params import TableParams, file_name
from sentiment.errors import UserError
from sentiment.profile import ReferenceProfile, count_words
from sentiment.section import flatten
from sentiment.tokenizer import encode
from workflow import files, tracking
from workflow.about import About, write_about
from workflow.outputs import FORMULA_START
from workflow.params import load_params, load_yaml
from workflow.registry import champion, packaging, versions
from workflow.tracking import Run, calls_store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CONFIG_FILE = Path("extras", "monitor", "monitor.yaml")
PAGE = "report.html"
MIN_TEXTS = 100  # the means of fewer texts do not vary normally
MAX_CHANGED_WORDS = 10
ALARM = "alarm"
WITHIN_LIMITS = "within limits"
TOO_FEW_TEXTS = "too few texts"
MODEL_TAG = "monitor.of"  # of the run that collects one point per day: the registered model
STATUS_TAG = "monitor.status"  # of the version, and of the run of each report
DAY = 24 * 3600 * 1000  # milliseconds


class AboutMonitor(About):
    """The inputs of a report: a model version, a file, and the config."""

    model: str
    file: str
    config: MonitorConfig

    def flat_params(self) -> dict[str, Any]:
        return {
            "monitor.model": self.model,
            "monitor.file": self.file,
            **flatten(self.config, "monitor"),
        }


def create_report(
    file: str, model_uri: str | None, text_column: str | None, label_sample: int
) -> dict[str, Any]:
    """Compare a log or a file of texts with the profile of a model version, and log the report.

    Args:
        file: a log, a folder of logs, or the path or URL of a file of texts.
        model_uri: the model version; the champion by default.
        text_column: the column of the texts, `fetch.table.text` by default.
        label_sample: number of random texts to write to a file, to be labeled.

    Returns:
        What `make monitor JSON=1` prints.

    Raises:
        UserError: the file or the model version cannot be used.
        StoreError: the tracking store cannot be used.
    """
    config = load_yaml(MonitorConfig, CONFIG_FILE)
    params = load_params()
    version = resolve_project_version(model_uri)
    model = champion.model_uri_of(version)
    profile = load_reference_profile(version)
    time = tracking.now_ms()
    current = Window(max(window.MAX_SAMPLE, label_sample))
    logs = window.find_logs(Path(file))
    if logs:
        window.read_log(logs, model, current)
        with suppress(ValueError):  # the name of a log is the day
            time = int(datetime.strptime(logs[-1].stem, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
            time *= 1000
    else:
        table = params.fetch.table
        served = packaging.load_model(model)
        window.read_file(file, text_column or table.text, table.max_characters, served, current)
    left_out = count_left_out(current, config)
    check_window(current, left_out, file, model, label_sample)
    texts = current.to_table()
    word_index = versions.load_word_index(version) if current.sample else {}
    effects, changed_words = compare_texts(texts, current.sample, word_index, profile, config)
    report = {
        # A name may hold bytes that are not UTF-8, which neither MLflow nor a page can hold.
        "file": file_name(file.rstrip("/")).encode("utf-8", "replace").decode(),
        "model": model,
        "time": time,
        "status": choose_status(current, effects, left_out),
        "texts": len(texts),
        "rows": current.rows,
        "left_out": left_out,
        "effects": [asdict(effect) for effect in effects],
        "changed_words": [asdict(word) for word in changed_words],
    }
    about = AboutMonitor(model=model, file=str(report["file"]), config=config)
    title = f"monitor {report['file']}"
    tags = {STATUS_TAG: str(report["status"])}
    with run_with_versions([version], title, about.flat_params(), tags) as run:
        folder = REPORTS / f"monitor-{run.run_id}"
        label_file = f"label-{run.run_id[:8]}.csv" if label_sample else ""
        report |= {
            "run_id": run.run_id,
            "page": str(folder / PAGE),
            "label_file": str(folder / label_file) if label_file else "",
        }
        with files.atomic_folder(folder) as partial:
            if label_file:
                sample = random.sample(current.sample, label_sample)
                write_label_file(partial / label_file, sample, params.fetch.table)
            html = page.render_page(report, texts, profile)
            (partial / PAGE).write_text(html, encoding="utf-8")
            write_about(partial, about)
        tracking.log_files(run, folder, [PAGE, files.ABOUT_FILE], "monitor")
        log_report(run, version, report)
    return report


def load_reference_profile(version: "ModelVersion") -> ReferenceProfile:
    """Load the reference profile that a model version was registered with.

    Raises:
        UserError: the version has none, or one of an earlier release.
        StoreError: the profile cannot be downloaded.
    """
    try:
        return ReferenceProfile.model_validate(versions.load_profile(version))
    except ValidationError:
        raise UserError(
            f"The profile of {champion.model_uri_of(version)} was made by an earlier release. "
            "Run `dvc repro --force --single-item evaluate` where its data/ is, or train it again."
        ) from None


def check_window(
    current: Window,
    left_out: Sequence[Mapping[str, Any]],
    file: str,
    model: str,
    label_sample: int,
) -> None:
    """Check that there is something to report, and that there are enough texts to be labeled.

    Raises:
        UserError: there is not, or there are not.
    """
    if not len(current) and choose_status(current, [], left_out) != ALARM:
        raise UserError(
            f"{file} has no text to compare: of {current.rows:,} rows or lines, "
            f"{current.unreadable:,} cannot be read and {current.other_versions:,} are predictions "
            f"of other versions than {model}. To monitor another version, set MODEL=…."
        )
    if len(current.sample) < label_sample:
        is_without_texts = len(current.sample) < len(current)
        advice = (
            "Log texts by `make serve LOG_TEXTS=1`." if is_without_texts else "Lower LABEL_SAMPLE."
        )
        raise UserError(
            f"{file} has {len(current.sample):,} texts to label, fewer than {label_sample:,}. "
            f"{advice}"
        )


def compare_texts(
    texts: pd.DataFrame,
    sample: Sequence[str],
    word_index: Mapping[str, int],
    profile: ReferenceProfile,
    config: MonitorConfig,
) -> tuple[list[Effect], list[ChangedWord]]:
    """Compare texts with a profile; return the effects and, if word use changed, which words.

    Args:
        texts: see `Window.to_table`.
        sample: texts whose words are counted. May be empty, as `texts` may be.
        word_index: the rank of each word that the model version knows.
        profile: its reference profile.
        config: the content of `monitor.yaml`.
    """
    if texts.empty:
        return [], []
    if not sample:
        return drift.measure_effects(texts, None, profile, config), []
    encoded = [encode(text, word_index, profile.tokenizer) for text in sample]
    word_counts = count_words(
        [text.ranks for text in encoded],
        np.array([text.word_count - len(text.ranks) for text in encoded]),
    )
    effects = drift.measure_effects(texts, word_counts, profile, config)
    if not any(effect.alarm for effect in effects if effect.quantity == WORD_USE):
        return effects, []
    words = sorted(word_index, key=word_index.__getitem__)
    return effects, drift.find_changed_words(word_counts, words, profile, MAX_CHANGED_WORDS)


def count_left_out(current: Window, config: MonitorConfig) -> list[dict[str, Any]]:
    """Return the number and the share of rows or lines that were left out, by reason.

    Too large a share of unreadable rows is an alarm. If texts come in another encoding, the few
    that can still be read may look unchanged.
    """
    rows = max(current.rows, 1)
    unreadable = current.unreadable / rows
    return [
        {
            "reason": "unreadable",
            "count": current.unreadable,
            "share": unreadable,
            "alarm": unreadable > config.max_unreadable,
        },
        {
            "reason": "other_versions",
            "count": current.other_versions,
            "share": current.other_versions / rows,
            "alarm": False,
        },
    ]


def choose_status(
    current: Window, effects: Sequence[Effect], left_out: Sequence[Mapping[str, Any]]
) -> str:
    """Return the status of a report. Too few texts or rows raise no alarm."""
    if current.rows >= MIN_TEXTS and any(row["alarm"] for row in left_out):
        return ALARM
    if len(current) < MIN_TEXTS:
        return TOO_FEW_TEXTS
    return ALARM if any(effect.alarm for effect in effects) else WITHIN_LIMITS


def write_label_file(path: Path, texts: Sequence[str], table: TableParams) -> None:
    """Write texts with an empty column for their labels. Only the owner can read the file.

    All fields are quoted, and a space comes before what a spreadsheet may take for a formula. The
    tokenizers ignore it.
    """

    def open_privately(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    with open(path, "x", encoding="utf-8", newline="", opener=open_privately) as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow([table.text, table.label])
        writer.writerows([FORMULA_START.sub(" ", text), ""] for text in texts)


@calls_store
def log_report(run: Run, version: "ModelVersion", report: Mapping[str, Any]) -> None:
    """Log the numbers of a report to its run, and set the status of the model version.

    The first report of a day is also a step of the run `monitor of <model>`.
    """
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()
    time = report["time"]
    step = time // DAY
    model_id = tracking.model_id_of(version)
    values = {effect["quantity"]: effect["current"] for effect in report["effects"]}
    values |= {row["reason"]: row["count"] for row in report["left_out"]}
    values |= {"texts": report["texts"], "alarm": float(report["status"] == ALARM)}
    points = [
        Metric(f"monitor/{name}", value, time, step, model_id) for name, value in values.items()
    ]
    tracking.log_points(run, points)
    with parent_runs.parent_run_lock():
        parent = tracking.find_or_create_parent_run(
            MODEL_TAG, version.name, f"monitor of {version.name}"
        )
        logged = client.get_metric_history(parent.run_id, "monitor/texts")
        if step not in {point.step for point in logged}:
            tracking.log_points(parent, points)
    versions.set_version_tags(client, version, {STATUS_TAG: report["status"]})
