"""`make report`: one page about the training in `data/`: what was run, how good it is, its errors.

Writes `reports/report.html`, which needs no other file and no network, and logs it to the
training's MLflow run. It is made from the stages' files alone: the model is not loaded.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from workflow import cli
from workflow.params import load_params
from workflow.runs import lifecycle, logger, store
from workflow.runs.links import link
from workflow.runs.logger import Run

if TYPE_CHECKING:
    from sentiment.scoring.answers import TrainingRecord

PAGE = Path("reports/report.html")
PLACE = "report"  # folder of the run's artifacts
UNLOGGED = "The report is not logged"


@cli.command(__doc__)
def main() -> None:
    print(make())


def find_run(run_id: str) -> Run | None:
    """The run that `data/` names; None, with a message, if the store does not have it or fails."""
    with store.tolerating_errors(UNLOGGED):
        if recorded := lifecycle.recorded(run_id):
            return recorded.run
        message = f"{UNLOGGED}: the tracking store has no run {run_id}, `make sync` makes it."
        print(message, file=sys.stderr)
    return None


def address(training: "TrainingRecord", run: Run | None) -> str:
    """Where the run's page is, or would be if the store had the run."""
    if run:
        return link(run.experiment_id, run.run_id)
    return link(training.run["experiment_id"], training.run["run_id"])


def log(run: Run) -> None:
    """Log the page to the run; a store that fails does not fail the report."""
    with store.tolerating_errors(UNLOGGED):
        logger.upload(run, PAGE.parent, [PAGE.name], PLACE)


def make() -> Path:
    """Write the page and log it to the run; return where it is.

    Raises:
        UserError: files are missing or damaged, or were made with other params.
    """
    from extras.compare import run_page  # imports SciPy and Matplotlib: seconds before --help
    from workflow.evaluation import read_training

    params, training, results = load_params(), read_training(), run_page.read_results()
    run_page.check(results, params)
    run = find_run(training.run["run_id"])
    cli.replace_text(PAGE, run_page.report(training, results, address(training, run), params))
    if run:
        log(run)
    return PAGE


if __name__ == "__main__":
    cli.run("make report", main)
