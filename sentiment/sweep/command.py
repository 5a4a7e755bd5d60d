"""`sentiment sweep`: search for params with a better validation accuracy."""

from typing import TYPE_CHECKING

import click

from sentiment.errors import UserError
from sentiment.project.paths import Project

if TYPE_CHECKING:
    from optuna import Study

    from sentiment.params import Params

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

    from sentiment.project.params_file import load_params
    from sentiment.sweep import study
    from sentiment.sweep.search import search

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the command prints lines of its own
    params = load_params(project)
    check_data(project, params)
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
            apply_trial(project, searched, params, apply)
        if pages:
            click.echo(pages)


def check_data(project: Project, params: "Params") -> None:
    """Check that data/ has the texts and the word vectors that the params name.

    Raises:
        UserError: data/fetch has other texts, or data/pad has the vectors of another file or of
            another vocabulary.
    """
    from sentiment.project.documents import read_json
    from sentiment.project.params_file import PARAMS
    from sentiment.project.paths import DATASET_FILE
    from sentiment.project.records import (
        FetchedDataset,
        read_padded_dataset,
        read_record,
    )
    from sentiment.text.model_files import WORD_INDEX_FILE

    fetched = read_record(project.fetched / DATASET_FILE, FetchedDataset)
    if fetched.fetch != params.fetch.used():
        raise UserError(f"{project.fetched} has other texts than {PARAMS}. Run `dvc repro fetch`.")
    training = params.training
    if not training.vectors:
        return
    padded = read_padded_dataset(project)
    wanted = (training.vectors, training.section.num_words)
    has_file = (padded.vectors, padded.num_words) == wanted
    word_indices = [read_json(each / WORD_INDEX_FILE) for each in (project.fetched, project.padded)]
    if not has_file or word_indices[0] != word_indices[1]:
        raise UserError(
            f"{project.padded} has other word vectors than {PARAMS}. Run `dvc repro pad`."
        )


def apply_trial(project: Project, searched: "Study", params: "Params", wanted: str) -> None:
    """Write the values of a trial into params.yaml, and print what has changed.

    Args:
        wanted: the number of a trial, or `BEST`, which has to be clearly better.
    """
    from sentiment.project.arrays import read_reviews
    from sentiment.project.params_file import PARAMS, update_params_file
    from sentiment.sweep import choice, study

    if wanted == study.BEST:
        reviews = read_reviews(project.fetched, "train")
        texts = choice.count_validation_texts(reviews, params.training.section.validation_split)
        is_taken, text = choice.compare_best(searched, params, texts)
        click.echo(text)
        if not is_taken:
            return
    values = study.find_trial(searched, wanted).user_attrs[study.VALUES]
    changes = update_params_file(project, study.named_values(params, values))
    click.echo("\n".join(changes) or f"{PARAMS} has these values already.")
