"""The stage keeps each epoch before it logs it, and notes a training of few steps."""

from typing import Any

import pytest

from stages.train import describe_few_steps
from tests.conftest import run_stages
from tests.networks import LINEAR, new_training
from tests.project import Project
from tracking.runs import LiveRun
from workflow.checkpoint import CHECKPOINTS_FOLDER

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


def test_the_state_of_an_epoch_is_kept_before_the_epoch_is_logged(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise, a training that is killed in between would log the epoch twice."""
    project.change(train={"units": 5})

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LiveRun, "log_new_epochs", end)
    with pytest.raises(KeyboardInterrupt):
        run_stages(project, "train")
    assert list((project.path / CHECKPOINTS_FOLDER).glob("*/state.npz"))
