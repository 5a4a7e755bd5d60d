"""`make report`: one page about the training in `data/`: what was run, how good it is, its errors.

Writes `reports/report.html`, which needs no other file and no network, and logs it to the
training's MLflow run. It is made from the stages' files alone: the model is not loaded.
"""

from pathlib import Path

from workflow.runs.links import link
from workflow.runs.logger import Run

from sentiment.errors import UserError
from workflow import cli
from workflow.params import load_params
from workflow.runs import lifecycle, logger, store

PAGE = Path("reports/report.html")
PLACE = "report"  # folder of the run's artifacts
UNLOGGED = "The report is not logged"


@cli.command(__doc__)
def main() -> None:
    from workflow.evaluation import read_training

    from extras.compare import run_page  # imports SciPy and Matplotlib: seconds before --help

    options, training, results = load_params().evaluate, read_training(), run_page.read_results()
    run = find_run(training.run["run_id"])
    named = run._asdict() if run else training.run
    address = link(named["experiment_id"], named["run_id"])
    cli.replace_text(PAGE, run_page.report(training, results, address, options))
    if run:
        with store.tolerating_errors(UNLOGGED):
            logger.upload(run, PAGE.parent, [PAGE.name], PLACE)
    print(PAGE)


def find_run(run_id: str) -> Run | None:
    """The run, or the one made again of it; None, with a message, if the store has neither."""
    with store.tolerating_errors(UNLOGGED):
        if recorded := lifecycle.recorded(run_id):
            return recorded.run
        raise UserError(f"the tracking store has no run {run_id}, `make sync` makes it.")
    return None


if __name__ == "__main__":
    cli.run("make report", main)
