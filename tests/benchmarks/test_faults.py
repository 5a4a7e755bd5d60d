"""The short form of `make faults`: those that tests/test_survival.py does not go through."""

import random
from pathlib import Path

import pytest

from benchmarks import faults
from benchmarks.faults import Fault, Try
from tests.project import EPOCHS, Project

HERE = {faults.kill_all}
CHOSEN = [fault for fault in faults.FAULTS if fault.happen in HERE]


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.what)
def test_nothing_is_lost(fault: Fault, project: Project, undisturbed: Path) -> None:
    project.change(train={"epochs": EPOCHS})
    fault.happen(Try(project, 8.0, random.Random(faults.SEED)))
    assert faults.losses(project, undisturbed) == []


def test_what_is_lost_is_seen(project: Project, undisturbed: Path) -> None:
    lost = faults.losses(project, undisturbed)
    assert "train/model.keras differs" in lost
    assert "0 runs" in lost
