"""The report of a comparison: computed, written to `reports/`, and logged to both runs."""

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from extras.common import evaluated_runs, page
from extras.compare import comparable, compare_text, comparison, verdict
from extras.compare.comparison import Comparison
from extras.compare.verdict import CompareOptions
from sentiment.errors import StoreError, first_line
from sentiment.evaluation.params import EvaluateParams
from sentiment.evaluation.plots import NEUTRAL, new_axes
from workflow import files, tracking
from workflow.params import load_params, load_yaml
from workflow.tracking import Run

OPTIONS = Path("extras", "compare", "compare.yaml")
REPORTS = Path("reports")
TEMPLATE = Path(__file__).with_name("templates") / "compare.html"
PLACE = "compare"  # where reports are in a run, and how tags with the sentence begin


def compare(a: str, b: str) -> tuple[Comparison, Path]:
    """Compare two runs or groups by their names; return the result and the folder of the report.

    Raises:
        UserError: a run is missing or damaged, the two cannot be compared, or the store cannot be
            used.
    """
    params = load_params().evaluate
    settings = load_yaml(CompareOptions, OPTIONS)
    with tempfile.TemporaryDirectory() as scratch:
        first = evaluated_runs.read(a, Path(scratch) / "a")
        second = evaluated_runs.read(b, Path(scratch) / "b")
    corpus = comparable.read_corpus(first, second)
    if not params.log_texts:  # examples are texts
        settings = settings.model_copy(update={"examples": 0})
    result = comparison.compare(first, second, corpus, settings)
    folder = REPORTS / f"compare-{first.label}-{second.label}"
    write(folder, result, params)
    log(folder, result)
    return result, folder


def write(folder: Path, result: Comparison, params: EvaluateParams) -> None:
    """Write page and JSON in the place of an earlier report."""
    plot = page.svg(reliability(result, params), "Reliability of A and B")
    context = {"comparison": result, "text": compare_text, "verdict": verdict, "plot": plot}
    with files.atomic_folder(folder) as partial:
        (partial / "report.html").write_text(page.render(TEMPLATE, **context), encoding="utf-8")
        files.write_json(partial / "comparison.json", asdict(result))


def reliability(comparison: Comparison, params: EvaluateParams) -> Figure:
    """Draw how often reviews are positive against how likely each model says they are.

    A's lines are wider, so that they are seen where B's lie on them.
    """
    figure, axes = new_axes(params, "Reliability", "Predicted probability", "Share positive")
    for letter, color, width in (("a", "tab:blue", 2.5), ("b", "tab:orange", 1.2)):
        for number, table in enumerate(map(pd.DataFrame, comparison.reliability[letter])):
            label = letter.upper() if number == 0 else None
            (line,) = axes.plot(table["predicted"], table["observed"], "o-", color=color)
            line.set(linewidth=width, alpha=0.8, label=label)
    axes.plot([0, 1], [0, 1], "--", color=NEUTRAL, label="perfectly calibrated")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    return figure


def log(folder: Path, result: Comparison) -> None:
    """Log the report to the run of each, with the sentence as a tag.

    A store that fails does not fail the comparison.
    """
    said = f"{result.sentence} {'; '.join(compare_text.compared(result))}"
    for own, other in ((result.a, result.b), (result.b, result.a)):
        run = Run(own.run_id, own.name, experiment_id="")
        try:
            for path in sorted(folder.iterdir()):
                text = path.read_text(encoding="utf-8")
                tracking.log_text(run, text, f"{PLACE}/{other.run_id}/{path.name}")
            tracking.log_tags(run, {f"{PLACE}.{other.run_id[:8]}": said})
        except (StoreError, OSError) as error:
            print(
                f"The report is not logged to run {run.run_id}: {first_line(error)}",
                file=sys.stderr,
                flush=True,
            )
