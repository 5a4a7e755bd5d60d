"""What happens when a user changes params, runs experiments, or decides about a model."""

import mlflow
import pytest

from tests.conftest import champion, runs, versions
from tests.contract import names
from tests.contract.conftest import Story, assert_whole

pytestmark = pytest.mark.slow


def executed(printed: str) -> list[str]:
    """Return the stages that DVC ran."""
    lines = [line for line in printed.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


def test_nothing_runs_if_nothing_changed(told: Story) -> None:
    assert "Data and pipelines are up to date." in told.printed["nothing to do"]


def test_a_changed_param_reruns_what_depends_on_it(told: Story) -> None:
    assert executed(told.printed["store away"]) == ["train", "evaluate"]
    assert told.digests["store away"] != told.digests["repro"]


def test_earlier_params_restore_their_result_without_training(told: Story) -> None:
    assert "Epoch 1/2" not in told.printed["four units again"]
    assert told.digests["four units again"] == told.digests["repro"]


@pytest.mark.usefixtures("told")
def test_each_training_is_one_whole_run() -> None:
    assert [run.data.params["train.units"] for run in runs()] == ["6", "5", "4"]
    for run in runs():
        assert_whole(run)


def test_a_store_that_is_away_costs_no_training(told: Story) -> None:
    printed = told.printed["store away"]
    assert "Test Accuracy: 0." in printed
    assert "Traceback" not in printed
    (run,) = (run for run in runs() if run.data.params["train.units"] == "5")
    assert_whole(run)


def test_to_sync_twice_prints_the_same_and_registers_nothing(told: Story) -> None:
    assert told.printed["sync again"].splitlines()[-1] == told.printed["sync"].splitlines()[-1]
    assert "Version" not in told.printed["sync again"]


def test_a_candidate_that_is_not_shown_to_be_better_does_not_become_champion(told: Story) -> None:
    assert told.printed["champion before"] == "1"
    assert versions()[0].tags["decision"] == "not promoted"
    assert versions()[0].tags["reason"].startswith("no difference to the champion is shown: ")
    assert "is not promoted: no difference to the champion is shown" in told.printed["sync"]


@pytest.mark.usefixtures("told")
def test_a_person_can_promote_a_run() -> None:
    (run,) = (run for run in runs() if run.data.params["train.units"] == "5")
    assert champion().run_id == run.info.run_id


def test_trainings_that_have_ended_leave_journals_and_no_state(told: Story) -> None:
    checkpoints = told.project.path / names.CHECKPOINTS
    assert len(list(checkpoints.glob("*/*.json"))) == len(runs())
    assert list(checkpoints.rglob(names.STATE)) == []


def test_an_applied_experiment_is_up_to_date_and_has_its_run(told: Story) -> None:
    assert "Data and pipelines are up to date." in told.printed["after apply"]
    (run,) = (run for run in runs() if run.data.params["train.units"] == "6")
    metrics = mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/{names.METRICS_ARTIFACT}")
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"]
