"""`make report`: one page about the training in `data/`: what was run, how good it is, its errors.

Writes `reports/report.html`, which needs no other file and no network, and logs it to the
training's MLflow run. It is made from the stages' files alone: the model is not loaded.
"""

import sys
from pathlib import Path

from sentiment.errors import StoreError, first_line
from workflow import commands, files, outputs, tracking
from workflow.params import load_params
from workflow.tracking import Run

PAGE = Path("reports/report.html")
PLACE = "report"  # folder of the run's artifacts
UNLOGGED = "The report is not logged"


@commands.command(__doc__)
def main() -> None:
    from extras.compare import run_page  # imports SciPy and Matplotlib: seconds before --help

    params = load_params().evaluate
    record = outputs.read_run_record()
    results = run_page.read_results()
    run = find_run(record.training_id)
    link = run.url if run else ""
    page = run_page.report(record, outputs.read_training_record(), results, link, params)
    files.write_text_atomically(PAGE, page)
    if run:
        try:
            tracking.log_text(run, page, f"{PLACE}/{PAGE.name}")
        except (StoreError, OSError) as error:
            _print_unlogged(first_line(error))
    print(PAGE)


def find_run(training_id: str) -> Run | None:
    """Return the run of a training. If the store has none, return None and print a message."""
    try:
        run = tracking.find_run(training_id)
    except (StoreError, OSError) as error:
        _print_unlogged(first_line(error))
        return None
    if run is None:
        _print_unlogged("the tracking store does not have the run, `make sync` makes it.")
    return run


def _print_unlogged(reason: str) -> None:
    print(f"{UNLOGGED}: {reason}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    commands.run_command("make report", main)
