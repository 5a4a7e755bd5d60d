"""A trial trains to the bits of the stage `train`, whatever else its process does."""

import random

import numpy as np
import optuna
import pytest

from sentiment.network.training import ready_model
from sentiment.params import Params
from sentiment.search.trial import first_number, own_seeds
from sentiment.serving.backend import load_keras


@pytest.fixture
def disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's global generator is drawn from meanwhile, as other threads may do."""
    set_seed = load_keras().utils.set_random_seed

    def disturb(seed: int) -> None:
        set_seed(seed)
        random.random()

    monkeypatch.setattr("keras.utils.set_random_seed", disturb)


def weights(params: Params) -> list["np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]:
    model, _ = ready_model(params.train, 50, 10)
    return list(model.get_weights())


def test_draws_of_other_threads_change_no_weight(
    small_params: Params, request: pytest.FixtureRequest
) -> None:
    undisturbed = weights(small_params)
    request.getfixturevalue("disturbed")
    assert any((a != b).any() for a, b in zip(weights(small_params), undisturbed, strict=True))
    with own_seeds(small_params.train.seed):
        again = weights(small_params)
    for mine, its in zip(again, undisturbed, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_equal_trials_at_the_same_time_are_told_apart_and_one_tried_again_is_known() -> None:
    study = optuna.create_study()
    first, second = study.ask(), study.ask()
    numbers = [first_number(each) for each in (first, second)]
    assert numbers == [0, 1]
    died = study.tell(second, state=optuna.trial.TrialState.FAIL)
    optuna.storages.RetryHeartbeatStaleTrialCallback()(study, died)
    again = study.ask()
    assert again.number == 2
    assert first_number(again) == 1
