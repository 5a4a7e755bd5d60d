"""`sentiment sweep`: search for params with a better validation accuracy, by Optuna."""

from functools import partial
from typing import TYPE_CHECKING

import click

from sentiment.errors import UserError
from sentiment.project.files.paths import Project
from sentiment.terminal import show

if TYPE_CHECKING:
    from optuna import Study

    from sentiment.params import Params
    from sentiment.sweep.trials import Sweep

SWEEP_DATABASE = "sweeps.db"  # in the project's root
BEST = "best"  # in place of the number of a trial
RUN = "mlflow_run"  # attribute of a study: the run of the sweep


@click.command()
@click.option(
    "--trials",
    metavar="NUMBER",
    type=click.IntRange(min=1),
    help="Number of trials of the sweep, including earlier calls and other processes.",
)
@click.option("--study", "study_name", metavar="NAME", help="Name of the sweep, such as imdb-lstm.")
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
    flag_value=BEST,
    help="Write the values of a trial into params.yaml. Without a number, of the best one.",
)
@click.pass_obj
def command(
    project: Project,
    trials: int | None,
    study_name: str | None,
    storage: str | None,
    apply: str | None,
) -> None:
    """Search for params with a better validation accuracy.

    The params in params.yaml are the first trial. The spaces are in sentiment/sweep/space.py.

    The same command in another terminal, or on another machine, is one more worker. Called again,
    it continues a sweep that was interrupted. Without --trials, it only shows the best trial.
    """
    import optuna

    from sentiment.project.files.arrays import read_reviews
    from sentiment.project.files.params_file import load_params, update_params_file
    from sentiment.sweep import study
    from sentiment.sweep.trials import values_of

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the command prints lines of its own
    params = load_params(project)
    label_count = check_data(project, params)
    reviews = read_reviews(project.fetched, "train")
    name = study_name or f"{params.fetch.dataset_name}-{params.model}"
    share = params.training.section.validation_split
    url = storage or f"sqlite:///{project.root / SWEEP_DATABASE}"
    with study.storage_errors():
        opened = study.open_study(url, name, project)
        show(f"{name}: {study.describe_counts(opened)}")
        show(study.describe_precision(opened, len(reviews), share))
        if trials:
            run_trials(opened, start_sweep(project, params, opened, label_count), trials)
        if not study.completed(opened):
            return
        texts = study.count_validation_texts(len(reviews), share)
        show(study.describe_best(opened.best_trial, texts))
        if apply is None:
            return
        chosen = opened.best_trial if apply == BEST else study.find_trial(opened, apply)
    values = {f"{params.model}.{key}": value for key, value in values_of(chosen).items()}
    changes = update_params_file(project, values)
    show("\n".join(changes) or "params.yaml has these values already.")
    show(
        "The best of many trials was partly lucky: its accuracy is optimistic. Train it with "
        "several seeds."
    )


def check_data(project: Project, params: "Params") -> int:
    """Check that data/ has the texts and the word vectors of the params.

    Returns:
        The number of labels.

    Raises:
        UserError: data/fetch has other texts, or data/pad has other word vectors.
    """
    from sentiment.project.files.documents import read_json
    from sentiment.project.files.paths import DATASET_FILE
    from sentiment.project.files.records import FetchedDataset, read_padded_dataset, read_record
    from sentiment.text.model_files import WORD_INDEX_FILE

    fetched = read_record(project.fetched / DATASET_FILE, FetchedDataset)
    if fetched.fetch != params.fetch.used():
        raise UserError(
            f"{project.fetched} has other texts than params.yaml. Run `dvc repro fetch`."
        )
    if params.vectors:
        is_padded = read_padded_dataset(project).is_made_with(params.training)
        words = [read_json(each / WORD_INDEX_FILE) for each in (project.fetched, project.padded)]
        if not is_padded or words[0] != words[1]:
            raise UserError(
                f"{project.padded} has other word vectors than params.yaml. Run `dvc repro pad`."
            )
    return len(fetched.label_names)


def start_sweep(project: Project, params: "Params", study: "Study", label_count: int) -> "Sweep":
    """Find or create the run of a sweep in MLflow, and read what its trials need."""
    from sentiment.project.files.arrays import read_padded_vectors, read_reviews
    from sentiment.sweep.trials import Sweep
    from sentiment.tracking import address, experiments, registry, runs, store

    client = store.connect(project)
    dataset = params.fetch.dataset_name
    about = f"Sweeps on `{dataset}`: a run for each, and one below it for each trial."
    with address.store_errors():
        name = f"{registry.registered_name(dataset)} sweeps"
        experiment_id = experiments.open_experiment(project, client, name, about, ())
        run_id = str(study.user_attrs.get(RUN, ""))
        if not run_id or runs.find_run_even_deleted(client, run_id) is None:
            run_id = runs.create_run(client, experiment_id, study.study_name, {})
            client.set_terminated(run_id)
            study.set_user_attr(RUN, run_id)
    return Sweep(
        client,
        experiment_id,
        run_id,
        params,
        label_count,
        read_reviews(project.fetched, "train"),
        read_padded_vectors(project, bool(params.vectors)),
    )


def run_trials(study: "Study", sweep: "Sweep", trials: int) -> None:
    """Train trials until this many are done, those of other processes included."""
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    from sentiment.sweep.study import show_trial
    from sentiment.sweep.trials import objective, present_values

    done = (TrialState.COMPLETE, TrialState.PRUNED)
    study.enqueue_trial(present_values(sweep), skip_if_exists=True)
    if len(study.get_trials(deepcopy=False, states=done)) < trials:
        study.optimize(
            partial(objective, sweep),
            callbacks=[MaxTrialsCallback(trials, states=done), show_trial],
        )
