"""What `make faults` counts as lost; tests/stages/test_survival.py goes through the faults."""

from pathlib import Path

from benchmarks import training_faults
from tests.project import Project


def test_a_training_that_nothing_disturbed_has_lost_nothing(
    undisturbed: Path, tmp_path: Path
) -> None:
    project = Project(undisturbed.parent).copy(tmp_path / "project")
    assert training_faults.losses(project, Project(undisturbed.parent)) == []


def test_what_is_lost_is_seen(project: Project, undisturbed: Path) -> None:
    lost = training_faults.losses(project, Project(undisturbed.parent))
    assert "train/model.keras differs" in lost
    assert "0 runs" in lost
