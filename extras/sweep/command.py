"""`sentiment sweep`: search for params with a better validation accuracy."""

import click

from sentiment.errors import UserError
from sentiment.prediction.backend import usable_cores

WORKER_GB = 2.7  # memory of a process that has trained as many trials as it may


def default_workers() -> int:
    """Return how many processes this machine has cores and free memory for, at least one."""
    import psutil

    by_memory = int(psutil.virtual_memory().available / (1e9 * WORKER_GB))
    return max(1, min(usable_cores() or 1, by_memory))


@click.command()
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Trials of the sweep, with those of earlier calls.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=default_workers,
    show_default="the number of cores, or fewer if memory is short",
    help="Processes on this machine.",
)
@click.option(
    "--storage",
    metavar="URL",
    show_default="sweeps.db in the project",
    help="A PostgreSQL database, if several machines share the sweep.",
)
@click.option("--apply", is_flag=True, help="Write the winner's values into params.yaml.")
def command(trials: int, workers: int, storage: str | None, apply: bool) -> None:
    """Search the space of extras/sweep/sweep.yaml for a better validation accuracy.

    The best trials are trained again with further seeds, and the best mean wins. The same command
    continues a sweep that was interrupted. A larger number of trials extends it.
    """
    from extras.sweep.sweep import run_sweep
    from workflow.params_file import update_params_file

    try:
        text, values = run_sweep(trials, workers, storage)
    except KeyboardInterrupt:
        raise UserError(
            "The sweep was interrupted. Run the same command again to continue it."
        ) from None
    click.echo(text)
    if apply:
        changes = update_params_file(values)
        click.echo("\n".join(changes) or "params.yaml has the winner's values already.")
    else:
        click.echo("To write the first one into params.yaml, run the same command with --apply.")
