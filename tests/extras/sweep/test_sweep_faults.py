"""What `make faults` counts as lost of a sweep."""

from pathlib import Path

import mlflow
import pytest

from benchmarks.sweep import sweep_faults
from extras.common.run_groups import PARENT
from tests.conftest import runs, stand_in
from tests.project import Project


def test_what_a_sweep_has_lost_is_seen(
    swept: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = swept.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    monkeypatch.setattr(sweep_faults, "TRIALS", 3)
    monkeypatch.setattr(sweep_faults, "EPOCHS", 2)
    assert sweep_faults.losses(project, swept) == []

    (trial, *_) = [run.info for run in runs() if PARENT in run.data.tags]
    client = mlflow.MlflowClient()
    client.set_terminated(trial.run_id, "KILLED")
    client.log_metric(trial.run_id, "val_loss", 0.5, step=3)
    sweep_faults.studies(project)[0].enqueue_trial({})
    assert set(sweep_faults.losses(project, swept)) == {
        "a run is KILLED",
        "a curve has 3 points",
        "trials are COMPLETE, COMPLETE, COMPLETE, WAITING",
    }
    client.delete_run(trial.run_id)
    assert "4 trainings" in sweep_faults.losses(project, swept)
