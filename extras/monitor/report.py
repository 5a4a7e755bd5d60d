"""Say what differs, whether it is an alarm, and log both to MLflow."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from extras.common.predicted_texts import write_private_csv
from extras.monitor.drift import measure_drift, plot_distributions, quantities
from extras.monitor.window import Window
from sentiment.params import TableParams

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_TEXTS = 100  # the means of fewer texts do not vary normally
MAX_UNREADABLE = 0.01  # share of the rows: a greater one hints at another encoding or format
# Values of `STATUS`
ALARM = "alarm"
NO_ALARM = "no alarm"
TOO_FEW_TEXTS = "too few texts"
STATUS = "monitor.status"  # tag of a run
QUANTITIES = {
    "words": "words in a text",
    "unknown_share": "share of unknown words",
    "probability": "probability of positive",
    "positive": "share predicted as positive",
}


class Report(NamedTuple):
    """The comparison of a window with a test set.

    Attributes:
        drift: see `extras.monitor.drift.measure_drift`.
        window: the window.
        alarms: what raises an alarm.
        plot: the distributions.
    """

    drift: pd.DataFrame
    window: Window
    alarms: list[str]
    plot: "Figure"

    @property
    def status(self) -> str:
        """`ALARM`, `NO_ALARM` or `TOO_FEW_TEXTS`."""
        if self.alarms:
            return ALARM
        return NO_ALARM if len(self.window.texts) >= MIN_TEXTS else TOO_FEW_TEXTS


def compare(window: Window, test_set: pd.DataFrame) -> Report:
    """Compare a window with a test set, given by its predictions.

    Too few texts or rows raise no alarm.
    """
    current = quantities(window.texts)
    reference = quantities(test_set)
    drift = measure_drift(current, reference)
    alarms = []
    if len(window.texts) >= MIN_TEXTS:
        alarms += [QUANTITIES[str(name)] for name in drift.index[drift["alarm"]]]
    if window.rows >= MIN_TEXTS and window.unreadable > MAX_UNREADABLE * window.rows:
        alarms.append("rows that cannot be read")
    return Report(drift, window, alarms, plot_distributions(current, reference))


def describe_drift(report: Report) -> str:
    """Return the table and what follows from it, for a terminal."""
    window = report.window
    shown = report.drift.rename(index=QUANTITIES, columns={"test_set": "test set"})
    shown["alarm"] = shown["alarm"].map({True: "yes", False: ""})
    lines = [shown.to_string(float_format="{:.4g}".format, na_rep="")]
    if window.unreadable:
        share = window.unreadable / window.rows
        lines.append(f"{window.unreadable:,} rows or lines cannot be read ({share:.1%}).")
    if window.other_versions:
        lines.append(f"{window.other_versions:,} lines are predictions of other versions.")
    conclusions = {
        ALARM: f"Alarm: {', '.join(report.alarms)}.",
        NO_ALARM: "No alarm.",
        TOO_FEW_TEXTS: f"Fewer than {MIN_TEXTS} texts raise no alarm.",
    }
    return "\n".join([*lines, conclusions[report.status]])


def log_drift(report: Report) -> None:
    """Log the numbers, the plot and the status to the active run."""
    import mlflow

    mlflow.log_metrics(
        {
            **{str(name): mean for name, mean in report.drift["current"].items()},
            "texts": len(report.window.texts),
            "unreadable": report.window.unreadable,
            "other_versions": report.window.other_versions,
            "alarm": float(report.status == ALARM),
        }
    )
    mlflow.log_text(report.drift.to_csv(index_label="quantity"), "drift.csv")
    mlflow.log_figure(report.plot, "drift.png")
    mlflow.set_tag(STATUS, report.status)


def write_label_file(path: Path, texts: Sequence[str], table: TableParams) -> None:
    """Write texts with an empty column for their labels."""
    path.parent.mkdir(exist_ok=True)
    write_private_csv(path, pd.DataFrame({table.text: texts, table.label: ""}), table.text)
