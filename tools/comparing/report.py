"""The report of a comparison: computed, written to `reports/`, and logged to both runs."""

import re
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from sentiment.errors import UserError
from tools.comparing import comparison, evaluated_runs, trainings
from tools.comparing import plots as comparison_plots
from tools.comparing import text as comparison_text
from tools.comparing.compare_options import load_options
from tools.comparing.comparison import Comparison
from tools.pages import page
from workflow import files
from workflow.params import load_params
from workflow.runs import store

REPORTS = Path("reports")
PLACE = "compare"  # where reports are in a run, and how tags with the sentence begin
UNLOGGED = "The report is not logged"
FORBIDDEN_IN_NAMES = re.compile(r"[^\w.-]+")
ALTERNATIVES = {
    "accuracy": "Accuracy by epoch of A and B, in training and validation",
    "reliability": "Share of positive reviews against predicted probability, of A and B",
    "groups": "Difference of accuracy by kind of review, with intervals",
    "gradients": "Norm of the gradient by words before the last, of A and B",
}


def compare(a: str, b: str) -> tuple[Comparison, Path]:
    """Compare two runs or groups by their names; return the result and the folder of the report.

    Raises:
        UserError: one is missing or damaged, they cannot be compared, or the store cannot
            be used.
    """
    params = load_params()
    with tempfile.TemporaryDirectory() as scratch:
        first = evaluated_runs.read(a, Path(scratch) / "a")
        second = evaluated_runs.read(b, Path(scratch) / "b")
    trainings.check_comparable(first, second)
    corpus = evaluated_runs.read_corpus(first, second)
    settings = load_options()
    if not params.evaluate.log_texts:  # examples are texts
        settings = settings.model_copy(update={"examples": 0})
    result = comparison.compare(first, second, corpus, settings)
    folder = REPORTS / FORBIDDEN_IN_NAMES.sub("-", f"compare-{first.label}-{second.label}")
    write(folder, result, comparison_plots.draw(result, params.evaluate))
    log(folder, result)
    return result, folder


def write(folder: Path, result: Comparison, plots: dict[str, Figure]) -> None:
    """Write page and JSON in the place of an earlier report."""
    drawn = {name: page.svg(plot, ALTERNATIVES[name]) for name, plot in plots.items()}
    content = page.render("compare.html", comparison=result, text=comparison_text, plots=drawn)
    with files.replaced(folder) as partial:
        (partial / "report.html").write_text(content, encoding="utf-8")
        files.write_json(partial / "comparison.json", comparison_text.document(result))


def log(folder: Path, result: Comparison) -> None:
    """Log the report to the run of each, with the sentence as a tag.

    A run that the store does not have, or a store that fails, does not fail the comparison.
    """
    import mlflow

    client = mlflow.MlflowClient()
    a, b = result.a.run_id, result.b.run_id
    for run_id, other in ((a, b), (b, a)):
        with store.tolerating_errors(f"{UNLOGGED} to run {run_id}"):
            if store.find_run(client, store.connect(), run_id) is None:
                raise UserError(
                    "the tracking store does not have it, `make sync` makes it from its files."
                )
            client.log_artifacts(run_id, str(folder), f"{PLACE}/{other}")
            client.set_tag(run_id, f"{PLACE}.{other[:8]}", comparison_text.signed(result))
