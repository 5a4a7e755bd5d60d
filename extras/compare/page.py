"""Compare two groups by name, write the page to `reports/`, and log it to both runs."""

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from extras.common import evaluated_runs, html_page
from extras.common.reports import REPORTS
from extras.compare import comparable, comparison, text
from extras.compare.comparison import Comparison
from extras.compare.verdict import CompareConfig
from sentiment.errors import StoreError, first_line
from sentiment.evaluation.plots import NEUTRAL, new_axes
from workflow import files, tracking
from workflow.params import load_params, load_yaml

CONFIG_FILE = Path("extras", "compare", "compare.yaml")
TEMPLATE = Path(__file__).with_name("templates") / "compare.html"
PAGE = "report.html"
ARTIFACTS = "compare"  # artifact path of reports, and start of the tags that have the sentence


def compare_and_log(a: str, b: str) -> tuple[Comparison, Path]:
    """Compare two runs or groups by name; return the result and the folder of the report.

    Raises:
        UserError: a run is missing or damaged, the two cannot be compared, or the store cannot be
            used.
    """
    params = load_params().evaluate
    config = load_yaml(CompareConfig, CONFIG_FILE)
    with tempfile.TemporaryDirectory() as scratch:
        group_a = evaluated_runs.read_run_group(a, Path(scratch) / "a")
        group_b = evaluated_runs.read_run_group(b, Path(scratch) / "b")
    comparable.check_comparable(group_a, group_b)
    texts = comparable.read_texts(group_a)
    if not params.log_texts:  # examples are texts
        config = config.model_copy(update={"examples": 0})
    result = comparison.compare_groups(group_a, group_b, texts, config)
    folder = REPORTS / f"compare-{group_a.label}-{group_b.label}"
    write_report(folder, result)
    log_report(folder, result)
    return result, folder


def write_report(folder: Path, result: Comparison) -> None:
    """Write page and JSON. They replace an earlier report."""
    plot = html_page.draw_image(plot_reliability(result), "Reliability of A and B")
    context = {"comparison": result, "text": text, "plot": plot}
    with files.atomic_folder(folder) as partial:
        (partial / PAGE).write_text(html_page.render_page(TEMPLATE, **context), encoding="utf-8")
        files.write_json(partial / "comparison.json", asdict(result))


def plot_reliability(comparison: Comparison) -> Figure:
    """Plot the proportion of positive reviews against the predicted probability.

    A's lines are wider, so that they are visible where B's are on top of them.
    """
    figure, axes = new_axes("Reliability", "Predicted probability", "Share positive")
    for letter, color, width in (("a", "tab:blue", 2.5), ("b", "tab:orange", 1.2)):
        for number, table in enumerate(map(pd.DataFrame, comparison.reliability[letter])):
            label = letter.upper() if number == 0 else None
            (line,) = axes.plot(table["predicted"], table["observed"], "o-", color=color)
            line.set(linewidth=width, alpha=0.8, label=label)
    axes.plot([0, 1], [0, 1], "--", color=NEUTRAL, label="perfectly calibrated")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    return figure


def log_report(folder: Path, result: Comparison) -> None:
    """Log the report to both runs, with the sentence as a tag.

    If that fails, print a message: the comparison is done and written.
    """
    tag = f"{result.sentence} {'; '.join(text.format_groups(result))}"
    for own, other in ((result.a, result.b), (result.b, result.a)):
        try:
            run = tracking.get_run(own.run_id)
            for path in sorted(folder.iterdir()):
                content = path.read_text(encoding="utf-8")
                tracking.log_text(run, content, f"{ARTIFACTS}/{other.run_id}/{path.name}")
            tracking.log_tags(run, {f"{ARTIFACTS}.{other.run_id[:8]}": tag})
        except (StoreError, OSError) as error:
            print(
                f"The report is not logged to run {own.run_id}: {first_line(error)}",
                file=sys.stderr,
                flush=True,
            )
