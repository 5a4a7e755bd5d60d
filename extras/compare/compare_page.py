"""The report of a comparison: computed, written to `reports/`, and logged to both runs."""

import re
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from extras.common import evaluated_runs, page
from extras.compare import comparable, compare_plots, compare_text, comparison
from extras.compare.compare_options import load_options
from extras.compare.comparison import Comparison
from sentiment.errors import UserError
from workflow import files
from workflow.params import load_params
from workflow.runs import store

REPORTS = Path("reports")
TEMPLATE = Path(__file__).with_name("templates") / "compare.html"
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
    comparable.check_comparable(first, second)
    corpus = comparable.read_corpus(first, second)
    settings = load_options()
    if not params.evaluate.log_texts:  # examples are texts
        settings = settings.model_copy(update={"examples": 0})
    result = comparison.compare(first, second, corpus, settings)
    folder = REPORTS / FORBIDDEN_IN_NAMES.sub("-", f"compare-{first.label}-{second.label}")
    write(folder, result, compare_plots.draw(result, params.evaluate))
    log(folder, result)
    return result, folder


def write(folder: Path, result: Comparison, plots: dict[str, Figure]) -> None:
    """Write page and JSON in the place of an earlier report."""
    drawn = {name: page.svg(plot, ALTERNATIVES[name]) for name, plot in plots.items()}
    content = page.render(TEMPLATE, comparison=result, text=compare_text, plots=drawn)
    with files.replaced(folder) as partial:
        (partial / "report.html").write_text(content, encoding="utf-8")
        files.write_json(partial / "comparison.json", compare_text.document(result))


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
            client.set_tag(run_id, f"{PLACE}.{other[:8]}", compare_text.signed(result))
