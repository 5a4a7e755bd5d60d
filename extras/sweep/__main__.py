"""`make sweep`: search the space of extras/sweep/sweep.yaml for the params that validate best.

Optuna proposes trials and keeps their state, Dask places them: on this machine, or on the workers
of a scheduler. Each trial is a child of the sweep's run in MLflow. Called again, the same sweep is
resumed, up to TRIALS. The best trials are then trained again with further seeds; the best mean
wins. APPLY=1 writes the winner's values into params.yaml, for `dvc repro`.
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

WORKER_GB = 2.7  # memory of one that has trained as many trials as a process does


def fitting() -> int:
    """How many workers this machine has cores and free memory for, at least one."""
    by_memory = int(psutil.virtual_memory().available / (1e9 * WORKER_GB))
    return max(1, min(usable_cores() or 1, by_memory))


@command(__doc__)
@option(
    "--trials",
    envvar="TRIALS",
    type=click.IntRange(min=1),
    default=20,
    help="How many trials the sweep is to have, those of earlier calls included.",
)
@option(
    "--workers",
    envvar="WORKERS",
    type=click.IntRange(min=1),
    default=fitting,
    show_default="the number of cores, or as many as fit into the memory",
    help="Processes on this machine.",
)
@option("--scheduler", envvar="SCHEDULER", help="Address of a Dask scheduler to use instead.")
@option("--apply", envvar="APPLY", is_flag=True, help="Write the winner into params.yaml.")
@json_option
def main(trials: int, workers: int, scheduler: str | None, apply: bool, as_json: bool) -> int:
    from extras.sweep import sweep_run  # imports Optuna, Dask and Matplotlib: seconds before --help

    with stdout_to_stderr(as_json):
        document, text = sweep_run.make(trials, workers, scheduler, apply)
    print_result(document, text, as_json)
    return 0 if document["candidates"] else 1


if __name__ == "__main__":
    run_command("make sweep", main)
