"""Draw the plots of a monitoring report, and render it as a page or as a text."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, ScalarFormatter

from extras.common import html_page
from sentiment.evaluation.plots import NEUTRAL, TRAINING, new_axes
from sentiment.profile import Histogram, ReferenceProfile, count_in_bins

TEMPLATE = Path(__file__).with_name("templates") / "monitor.html"
NAMES = {
    "words": "words in a text",
    "unknown": "unknown words",
    "truncated": "truncated texts",
    "positive": "positive predictions",
    "confidence": "confidence",
    "word_use": "word use",
    "unreadable": "cannot be read",
    "other_versions": "other model versions",
}


def plot_words(texts: pd.DataFrame, profile: ReferenceProfile, title: str) -> Figure:
    """Draw the distribution of the number of words, for the current texts and the test set.

    Args:
        texts: see `extras.monitor.window.Window.to_table`.
        profile: the reference profile.
        title: the title of the plot.
    """
    figure = _plot_histograms(texts["words"], profile.histograms["words"], title, "Words in a text")
    (axes,) = figure.axes
    axes.set_xscale("symlog", linthresh=1)  # linear from 0 to 1, since texts may have no words
    axes.xaxis.set_major_formatter(ScalarFormatter())
    return figure


def plot_probability(texts: pd.DataFrame, profile: ReferenceProfile, title: str) -> Figure:
    """Draw the distribution of the probability, for the current texts and the test set.

    The arguments are those of `plot_words`.
    """
    reference = profile.histograms["probability"]
    return _plot_histograms(texts["probability"], reference, title, "Probability")


def _plot_histograms(values: pd.Series, reference: Histogram, title: str, x: str) -> Figure:
    figure, axes = new_axes(title, x, "Share of texts")
    current = count_in_bins(values, reference.edges)
    used = np.flatnonzero(np.add(reference.counts, current.counts))
    bins = slice(used[0], used[-1] + 1)
    edges = reference.edges[used[0] : used[-1] + 2]
    reference_shares = np.array(reference.counts) / sum(reference.counts)
    current_shares = np.array(current.counts) / sum(current.counts)
    axes.stairs(
        reference_shares[bins], edges, fill=True, color=NEUTRAL, alpha=0.6, label="test set"
    )
    axes.stairs(current_shares[bins], edges, color=TRAINING, linewidth=2, label="current texts")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return figure


def render_page(
    report: Mapping[str, Any],
    texts: pd.DataFrame,
    profile: ReferenceProfile,
) -> str:
    """Render the HTML page of a report, see `extras.monitor.run.create_report`.

    The other arguments are those of `plot_words`.
    """
    plots = [
        html_page.draw_image(plot(texts, profile, title), title)
        for plot, title in ((plot_words, "Length"), (plot_probability, "Probability"))
        if not texts.empty
    ]
    return html_page.render_page(TEMPLATE, report=report, names=NAMES, plots=plots)


def render_text(report: Mapping[str, Any]) -> str:
    """Render a report as the text that the command prints."""
    lines = [
        f"{report['file']}, {report['texts']:,} texts for {report['model']}: {report['status']}",
    ]
    if report["effects"]:
        lines.append(pd.DataFrame(report["effects"]).round(3).to_string(index=False))
    for left_out in report["left_out"]:
        if left_out["count"]:
            name = NAMES[left_out["reason"]]
            alarm = ": alarm" if left_out["alarm"] else ""
            count = f"{left_out['count']:,} of {report['rows']:,} rows"
            lines.append(f"Left out ({name}): {count}, {left_out['share']:.1%}{alarm}")
    if report["changed_words"]:
        words = "; ".join(
            f"{word['word']} {word['reference']:.2%} to {word['current']:.2%}"
            for word in report["changed_words"]
        )
        lines.append(f"Share of all words that changed most: {words}")
    lines.append(f"Run {report['run_id']}; page: {report['page']}")
    if report["label_file"]:
        command = f"make evaluate-file FILE={report['label_file']} MODEL={report['model']}"
        lines.append(f"Fill in the labels there, then: {command}")
    return "\n".join(lines)
