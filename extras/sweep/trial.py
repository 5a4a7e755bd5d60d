"""A trial: a training as in the stage `train`, with a child run in MLflow, but without files.

It never sees the test set.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from typing import Any, NamedTuple

import mlflow
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from extras.sweep.space import SweepConfig, draw_values, with_values
from extras.sweep.study import CONFIRMS, ERROR, METRIC, SEED
from sentiment.errors import StoreError, UserError
from sentiment.network.batches import Split, train_validation_split
from sentiment.network.training import Training
from sentiment.padding import pad_in_chunks, shuffle_orders
from sentiment.params import Params, flatten_used
from sentiment.prediction.reviews import Reviews
from workflow import provenance, runs, store
from workflow.stage import Interrupted, SignalFlag

# Tags of a child run
STUDY = "sweep.study"  # name of its study
TRIAL = "sweep.trial"  # its number there
ENDED = "sweep.ended"  # why it ended early


class Sweep(NamedTuple):
    """A sweep.

    Attributes:
        name: name of the study that searches.
        storage: URL of Optuna's storage.
        params: the params that the sweep starts from.
        config: its space.
        parent: id of the parent run.
        experiment: id of the experiment of its runs.
    """

    name: str
    storage: str
    params: Params
    config: SweepConfig
    parent: str
    experiment: str


def train_trial(
    sweep: Sweep, reviews: Reviews, flag: SignalFlag, tags: Mapping[str, str], trial: optuna.Trial
) -> float:
    """Train a trial, and return `METRIC` of its kept epoch.

    Args:
        sweep: the sweep.
        reviews: the training set.
        flag: the signals of this process.
        tags: tags of the child run.
        trial: a trial of the search, or of the confirmation.

    Raises:
        TrialPruned: others were better after as many epochs, or the values do not work.
        Interrupted: a signal stopped the training. Optuna finds the trial lost later.
        StoreError: MLflow's store failed.
    """
    params = draw_params(sweep, trial)
    try:
        with started_run(
            experiment_id=sweep.experiment,
            parent_run_id=sweep.parent,
            run_name=trial_run_name(trial, params),
            tags={**tags, STUDY: trial.study.study_name, TRIAL: str(trial.number)},
        ) as run:
            training = Training(params.train, params.pad, *split_reviews(params, reviews))
            with store.store_errors():
                mlflow.log_params(flatten_used(params.fetch, params.pad, params.train))
            fit(training, flag, trial)
    except StoreError:
        raise
    except (optuna.TrialPruned, UserError) as error:
        with store.store_errors():
            mlflow.MlflowClient().set_tag(run.info.run_id, ENDED, str(error))
        if isinstance(error, UserError):
            trial.set_user_attr(ERROR, str(error))
        raise optuna.TrialPruned from error
    return training.metrics[METRIC]


def draw_params(sweep: Sweep, trial: optuna.Trial) -> Params:
    """Return the params of a sweep with the values of a trial."""
    # With one seed, all workers would draw the same values.
    trial.study.sampler = optuna.samplers.TPESampler(seed=trial.number, constant_liar=True)
    values = draw_values(trial, sweep.params, sweep.config.space)
    if SEED in trial.user_attrs:
        values["train.seed"] = trial.user_attrs[SEED]
    return with_values(sweep.params, values)


def trial_run_name(trial: optuna.Trial, params: Params) -> str:
    """Return the name of a child run: the trial, the seed that confirms it, and the params."""
    parts = [f"trial {trial.user_attrs.get(CONFIRMS, trial.number)}"]
    if SEED in trial.user_attrs:
        parts.append(f"seed {trial.user_attrs[SEED]}")
    name = provenance.run_name(params.fetch, params.pad, params.train)
    return provenance.SEPARATOR.join([*parts, name])


def split_reviews(params: Params, reviews: Reviews) -> tuple[Split, Split]:
    """Return the same splits as the stages `pad` and `train`, without the test set."""
    order, _ = shuffle_orders(len(reviews), 0)
    x = pad_in_chunks(reviews, order, params.pad.layout)
    return train_validation_split(x, reviews.labels[order], params.train.validation_split)


def fit(training: Training, flag: SignalFlag, trial: optuna.Trial) -> None:
    """Train, and report each epoch to MLflow and to Optuna.

    Raises:
        TrialPruned: others were better after as many epochs.
        Interrupted: a signal came, or another process trains the trial, as a heartbeat was late.
        UserError: the training diverged.
    """

    def after_epoch() -> None:
        epoch = len(training.epochs)
        with store.store_errors():
            runs.log_epochs(training.epochs, epoch - 1)
        try:
            trial.report(training.epochs[-1][METRIC], epoch)
        except UpdateFinishedTrialError:
            raise Interrupted from None
        if not training.is_done and trial.should_prune():
            raise optuna.TrialPruned(f"others were better after epoch {epoch}")

    with redirect_stdout(StringIO()):  # the lines of several workers would be mixed
        training.fit(after_epoch, [flag.callback()])


@contextmanager
def started_run(**arguments: Any) -> "Iterator[mlflow.ActiveRun]":
    """Start a run, and end it with the block. It is KILLED if the block was stopped.

    Args:
        arguments: see `mlflow.start_run`.

    Raises:
        StoreError: MLflow's store failed.
    """
    with store.store_errors():
        run = mlflow.start_run(**arguments)
    try:
        yield run
    except BaseException as error:
        is_stopped = isinstance(error, optuna.TrialPruned | Interrupted | KeyboardInterrupt)
        with suppress(Exception):  # the store may not work at all
            mlflow.end_run("KILLED" if is_stopped else "FAILED")
        raise
    with store.store_errors():
        mlflow.end_run()


def end_lost_runs(sweep: Sweep, *studies: optuna.Study) -> None:
    """End the child runs that a lost process has left RUNNING."""
    client = mlflow.MlflowClient()
    which = f"tags.`mlflow.parentRunId` = '{sweep.parent}' AND attributes.status = 'RUNNING'"
    with store.store_errors():
        found = client.search_runs([sweep.experiment], which)
    running = {
        (study.study_name, str(trial.number))
        for study in studies
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    }
    for run in found:
        if (run.data.tags[STUDY], run.data.tags[TRIAL]) not in running:
            with store.store_errors():
                # A trial that has ended in the meantime has ended its run before.
                if client.get_run(run.info.run_id).info.status == "RUNNING":
                    client.set_terminated(run.info.run_id, "KILLED")
