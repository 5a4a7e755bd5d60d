"""`sentiment sweep`: search for params with a better validation accuracy."""

import click

from sentiment.errors import UserError
from sentiment.project.paths import Project


@click.command()
@click.option(
    "--trials",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    help="Number of trials of the sweep, including earlier calls and other processes.",
)
@click.option(
    "--storage",
    metavar="URL",
    show_default="sweeps.db in the project",
    help="A PostgreSQL database, if several machines share the sweep.",
)
@click.option(
    "--apply",
    metavar="[TRIAL]",
    is_flag=False,
    flag_value="best",
    help="Write the values of a trial into params.yaml. Without a number: of the best one.",
)
@click.pass_obj
def command(project: Project, trials: int | None, storage: str | None, apply: str | None) -> None:
    """Search for params with a better validation accuracy.

    The space is in sentiment/sweep/space.py.

    The same command in another terminal, or on another machine, is one more worker. Called again,
    it continues a sweep that was interrupted. Without --trials, it only shows the best trials.
    """
    from sentiment.project.params_file import load_params, update_params_file
    from sentiment.sweep.search import open_sweep, search
    from sentiment.sweep.study import (
        best_trials,
        count_done,
        describe_trials,
        find_trial,
        storage_errors,
    )
    from sentiment.sweep.values import draw_values

    params = load_params(project.params_file)
    try:
        with storage_errors():
            study = open_sweep(project, params, storage)
            click.echo(f"{study.study_name}: {count_done(study)} trials are done")
            if trials:
                search(project, study, params, trials)
            click.echo(describe_trials(best_trials(study)))
            if apply:
                changes = update_params_file(
                    project.params_file, draw_values(find_trial(study, apply))
                )
                click.echo("\n".join(changes) or "params.yaml has these values already.")
    except KeyboardInterrupt:
        raise UserError(
            "The sweep was interrupted. Run the same command again to continue it."
        ) from None
