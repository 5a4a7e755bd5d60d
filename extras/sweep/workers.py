"""The workers of a sweep, which Dask places: each takes a trial, as long as there is one."""

import logging
import os
import pickle
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import lru_cache, partial
from typing import Any

import distributed
import optuna
from optuna.trial import FrozenTrial

from extras.common import cluster
from extras.sweep import environment, study
from extras.sweep.sweep import Sweep
from extras.sweep.trial import KEY, objective
from sentiment.errors import StoreError, first_line
from sentiment.tokenizer import Reviews
from workflow import checkpoints, commands
from workflow.files import FETCH, read_reviews

TRIALS_A_PROCESS = 20  # TensorFlow keeps 30 to 150 MB of each training until its process ends
TRAINED = "trained"  # attribute of a worker: how many trials its process has trained


def work(name: str, content: bytes, required: cluster.Environment, most: int) -> str | None:
    """Train the next trial of a study, if one is to be taken.

    Args:
        name: of the study.
        content: a pickled `Sweep`, which code of another commit may not be able to read.
        required: what this worker must have, see `cluster.require_same`.
        most: trials after which the process is to be replaced, if a nanny is there to do so.

    Returns:
        This worker's address if its process is to be replaced; it trained nothing then.

    Raises:
        UserError: this worker has another environment or other reviews than the sweep.
    """
    worker = distributed.get_worker()
    trained = getattr(worker, TRAINED, 0)
    if trained >= most and worker.nanny:
        return str(worker.address)
    if study.patiently(partial(take, *load(name, content, required))):
        setattr(worker, TRAINED, trained + 1)
    return None


@lru_cache(maxsize=1)
def load(
    name: str, content: bytes, required: cluster.Environment
) -> tuple[optuna.Study, Sweep, Reviews]:
    """What a worker reads before its first trial.

    Raises:
        UserError: the worker differs from the sweep, see `cluster.require_same`.
    """
    # in a process of this machine, the code may be uncommitted
    own = environment.reviews if len(required) == 1 else environment.environment
    cluster.require_same(own, required, environment.ADVICE)
    this_sweep: Sweep = pickle.loads(content)
    reviews = read_reviews(FETCH, "train")
    os.environ["MLFLOW_TRACKING_URI"] = this_sweep.tracking_uri
    commands.quiet_libraries()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    searched = study.patiently(partial(study.open_study, name, this_sweep.options))
    return searched, this_sweep, reviews


def take(searched: optuna.Study, this_sweep: Sweep, reviews: Reviews) -> bool:
    """Train the next trial; return False if all are taken.

    Optuna proposes while this worker alone has the lock, so that no more trials are proposed than
    are wanted, and each knows of those before it.
    """
    with ExitStack() as alone:
        alone.enter_context(distributed.Lock(searched.study_name))
        if not study.has_work(searched):
            return False
        run_next(searched, this_sweep, reviews, alone.close)
    return True


def run_next(
    searched: optuna.Study, this_sweep: Sweep, reviews: Reviews, begun: Callable[[], None]
) -> None:
    """Train the trial that has waited longest, or a new one.

    Raises:
        StoreError: what came of it is not recorded: the database failed, or had failed for so long
            that the trial waits for another worker by now.
    """
    try:
        study.prepare_next(searched, this_sweep.options)
        searched.optimize(
            partial(objective, this_sweep, reviews, begun),
            n_trials=1,
            catch=(Exception,),
            callbacks=[clear],
        )
    except Exception as error:
        raise StoreError(f"Optuna could not record a trial: {first_line(error)}") from error


def clear(_: optuna.Study, trial: FrozenTrial) -> None:
    """Remove a trial's checkpoint once Optuna knows how the trial ended."""
    if KEY in trial.user_attrs and not study.may_pass(trial):
        checkpoints.remove_checkpoint(trial.user_attrs[KEY])


def search(
    client: distributed.Client,
    this_sweep: Sweep,
    required: cluster.Environment,
    searched: optuna.Study,
    watch: Callable[[], object],
) -> None:
    """Let all workers train a study's trials until they have ended, also workers that come later.

    A worker whose command is gone ends the trial that it trains, and takes no other. `watch` is
    called now and then; what it raises ends the search.

    Raises:
        UserError: as `cluster.result` does.
    """

    def look() -> bool:
        watch()
        study.retry(searched)
        return study.is_over(searched)

    arguments = (searched.study_name, pickle.dumps(this_sweep), required, TRIALS_A_PROCESS)
    futures = set[Any]()
    while not study.patiently(look) or futures:
        if study.patiently(partial(study.has_work, searched)):
            for _ in cluster.addresses(client)[len(futures) :]:
                futures.add(client.submit(work, *arguments, pure=False))  # else they would be one
        done = cluster.ended(futures)
        futures -= done
        used_up = {cluster.result(future) for future in done} - {None}
        with suppress(KeyError, AssertionError, OSError, TimeoutError):  # some may be gone
            if used_up:
                client.restart_workers([*used_up])
