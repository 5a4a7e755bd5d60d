"""`sentiment sweep`: search for params with a better validation accuracy."""

import click

from sentiment.errors import UserError
from sentiment.project.paths import Project

SWEEP_DATABASE = "sweeps.db"  # in the project's root


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
    help="Write the values of the best trial into params.yaml if it is clearly better. With a "
    "number: of that trial.",
)
@click.pass_obj
def command(project: Project, trials: int | None, storage: str | None, apply: str | None) -> None:
    """Search for params with a better validation accuracy.

    The params in params.yaml are the first trial. The spaces are in sentiment/sweep/space.py.

    The same command in another terminal, or on another machine, is one more worker. Called again,
    it continues a sweep that was interrupted. Without --trials, it only shows the best trials.
    """
    import optuna

    from sentiment.project.arrays import read_reviews
    from sentiment.project.params_file import PARAMS, load_params, update_params_file
    from sentiment.project.records import (
        DATASET_FILE,
        FetchedDataset,
        read_padded_dataset,
        read_record,
    )
    from sentiment.sweep import choice, study
    from sentiment.sweep.search import search

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the command prints lines of its own
    params = load_params(project.params_file)
    dataset = read_record(project.fetched / DATASET_FILE, FetchedDataset)
    if dataset.fetch != params.fetch.used():
        raise UserError(f"{project.fetched} has other texts than {PARAMS}. Run `dvc repro fetch`.")
    if params.pad.has_vectors:
        padded = read_padded_dataset(project)
        if (padded.test_set_digest, padded.pad.vectors, padded.pad.num_words) != (
            dataset.test_set_digest,
            params.pad.vectors,
            params.pad.num_words,
        ):
            raise UserError(
                f"{project.padded} has other word vectors than {PARAMS}. Run `dvc repro pad`."
            )
    distributions = study.searched_distributions(params)
    name = study.study_name(project, params, distributions)
    url = storage or f"sqlite:///{project.root / SWEEP_DATABASE}"
    with study.storage_errors():
        searched = study.open_study(url, name)
        click.echo(f"{name}: {study.describe_counts(searched)}")
        pages = ""
        if trials:
            pages = search(project, searched, params, distributions, trials)
        click.echo(study.describe_trials(searched))
        if apply:
            is_taken = True
            if apply == study.BEST:
                texts = choice.count_validation_texts(
                    read_reviews(project.fetched, "train"), params.train.validation_split
                )
                is_taken, text = choice.compare_best(searched, params, texts)
                click.echo(text)
            if is_taken:
                values = study.find_trial(searched, apply).user_attrs[study.VALUES]
                changes = update_params_file(project.params_file, values)
                click.echo("\n".join(changes) or f"{PARAMS} has these values already.")
        if pages:
            click.echo(pages)
