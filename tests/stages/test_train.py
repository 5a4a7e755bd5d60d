"""The stage notes a training of few steps."""

from typing import Any

import pytest

from stages.train import describe_few_steps
from tests.networks import LINEAR, new_training

pytestmark = pytest.mark.slow
EPOCH = {"accuracy": 0.5, "loss": 0.7, "val_accuracy": 0.5, "val_loss": 0.7}


@pytest.mark.parametrize(
    ("epochs", "changes", "note"),
    [
        (
            2,  # of five steps: 160 reviews in batches of 32
            {},
            "The training had only 10 steps, too few for a network. Try `sentiment preset linear`, "
            "or train.epochs: 20 or more.",
        ),
        (
            2,
            {"patience": 1},
            "The training had only 10 steps, too few for a network. Try `sentiment preset linear`.",
        ),
        (20, {}, ""),
        (2, LINEAR, ""),
    ],
)
def test_few_steps_of_a_network_are_noted(epochs: int, changes: dict[str, Any], note: str) -> None:
    training = new_training(**changes)
    training.epochs = [EPOCH] * epochs
    assert describe_few_steps(training) == note
