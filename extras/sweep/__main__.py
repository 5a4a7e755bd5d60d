"""`make sweep`: search the space of sweep.yaml for the params with the best validation metric.

Optuna proposes trials and keeps their state. Processes on this machine train them, and commands on
other machines may help. Each trial is a child run in MLflow. Called again, the command continues
the same sweep, up to TRIALS. The best trials are then trained again with further seeds, and the
best mean wins. APPLY=1 writes the winner's values into params.yaml, for `dvc repro`.
"""

import click
import psutil

from sentiment.backend import usable_cores
from workflow.commands import (
    command,
    json_option,
    option,
    print_result,
    run_command,
    stdout_to_stderr,
)

WORKER_GB = 2.7  # memory of a process that has trained as many trials as it may


def default_workers() -> int:
    """Return how many processes this machine has cores and free memory for, at least one."""
    by_memory = int(psutil.virtual_memory().available / (1e9 * WORKER_GB))
    return max(1, min(usable_cores() or 1, by_memory))


@command(__doc__)
@option(
    "--trials",
    envvar="TRIALS",
    type=click.IntRange(min=1),
    show_default="as many as were asked for last, or 20",
    help="How many trials the sweep should have, including those of earlier calls.",
)
@option(
    "--workers",
    envvar="WORKERS",
    type=click.IntRange(min=1),
    default=default_workers,
    show_default="the number of cores, or fewer if memory is short",
    help="Number of processes on this machine.",
)
@option("--apply", envvar="APPLY", is_flag=True, help="Write the winner into params.yaml.")
@json_option
def main(trials: int | None, workers: int, apply: bool, as_json: bool) -> int:
    # This imports Optuna and Matplotlib, which would delay --help by seconds.
    from extras.sweep.run import run_sweep

    with stdout_to_stderr(as_json):
        document, text = run_sweep(trials, workers, apply)
    print_result(document, text, as_json)
    return 0 if document["confirmed"] else 1


if __name__ == "__main__":
    run_command("make sweep", main)
