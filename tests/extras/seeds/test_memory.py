"""The study of memory: what is trained, that nothing is trained twice, and what is written."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from benchmarks.seeds import memory
from sentiment.errors import UserError
from tests.conftest import Caller, defaults, runs, stand_in
from tests.project import Project, merged
from workflow.params import Params, check_params
from workflow.params_file import changed


@pytest.fixture
def project(finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A finished project of one's own, and the smallest study."""
    project = finished.copy(tmp_path / "project")
    project.change(train={"epochs": 1})
    stand_in(project.path, monkeypatch)
    monkeypatch.setattr(memory, "SEEDS", 2)
    monkeypatch.setattr(memory, "CUE_DISTANCES", (10,))
    monkeypatch.setattr(memory, "CHANGED_AT", ())
    for name in (
        "GIT_AUTHOR_NAME",
        "GIT_AUTHOR_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_COMMITTER_EMAIL",
    ):
        monkeypatch.setenv(name, project.environment[name])
    return project


def test_the_study_is_written_grouped_and_not_trained_twice(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CELLS", {"plain RNN": memory.CELLS["plain RNN"]})
    call(memory.main)
    table = pd.read_csv(project.path / "docs/memory/trainings.csv")
    assert table["seed"].to_list() == [42, 43]
    by_id = {run.info.run_id: run for run in runs()}
    (parent,) = [run for run in by_id.values() if memory.STUDY in run.data.tags]
    for row in table.itertuples():
        run = by_id[str(row.run_id)]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params["train.cell"] == "simple_rnn"
        assert run.data.params["fetch.synthetic.cue_distance"] == "10"
        assert run.data.metrics["test_accuracy"] == row.test_accuracy
        assert run.data.metrics["gradient_reach"] == row.gradient_reach
    logged = mlflow.MlflowClient().list_artifacts(parent.info.run_id)
    assert {file.path for file in logged} == {"accuracy.png", "gradients.png", "trainings.csv"}
    page = memory.PAGE.read_text(encoding="utf-8")
    assert "| plain RNN | 0." in page

    before = [run.to_dictionary() for run in runs()]
    monkeypatch.setattr("workflow.dvc.run", None)  # so that a training would fail
    assert parent.info.run_id in call(memory.main)
    assert [run.to_dictionary() for run in runs()] == before
    assert memory.PAGE.read_text(encoding="utf-8") == page


def params_with(**changes: Any) -> Params:
    return check_params(merged(defaults(), changes), "params.yaml")


def test_each_cell_is_trained_at_each_distance_and_on_the_data_set_of_the_params() -> None:
    found = [(case.network, case.distance) for case in memory.cases(params_with())]
    for network in ("LSTM", "GRU", "plain RNN"):
        wanted = [(network, distance) for distance in (10, 25, 40, 60, 100, 0)]
        assert [pair for pair in found if pair in wanted][:6] == wanted


def test_the_synthetic_set_of_the_params_is_not_trained_on() -> None:
    found = memory.cases(params_with(fetch={"dataset": "synthetic"}))
    assert 0 not in {case.distance for case in found}


def test_each_change_is_trained_at_its_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CHANGED_AT", (25,))
    changed_cases = [case for case in memory.cases(params_with()) if case.change]
    assert [(case.network, case.change) for case in changed_cases] == [
        ("LSTM", "forget bias 3"),
        ("LSTM", "clipped at 1"),
        ("LSTM", "Glorot weights"),
        ("plain RNN", "clipped at 1"),
        ("plain RNN", "Glorot weights"),
        ("plain RNN", "identity weights"),
    ]
    assert {case.distance for case in changed_cases} == {25}


def test_generated_sets_are_allowed_and_keep_the_cue() -> None:
    params = params_with()
    for case in memory.cases(params):
        made = changed(params, case.changes)
        if case.distance:
            assert made.fetch.synthetic.max_length + 1 == made.pad.max_length


def test_generated_sets_differ_in_the_distance_alone() -> None:
    near, far = (memory.generated(distance) for distance in (10, 40))
    differing = {name: far[name] - near[name] for name in near if near[name] != far[name]}
    assert set(differing.values()) == {30}
    assert set(differing) == {
        "fetch.synthetic.cue_distance",
        "fetch.synthetic.min_length",
        "fetch.synthetic.max_length",
        "pad.max_length",
    }


def test_a_value_that_the_params_had_before_does_not_change_the_cells() -> None:
    params = params_with(train={"forget_bias": 3.0, "clip_norm": 1.0})
    for case in memory.cases(params):
        if not case.change:
            made = changed(params, case.changes).train
            assert (made.forget_bias, made.clip_norm) == (1.0, 0.0)


@pytest.mark.usefixtures("project")
def test_a_failed_training_says_how_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow.dvc.run", lambda *_: 1)
    with pytest.raises(
        UserError, match=r"LSTM, cue 10 words before the end, seed 42 failed.*memory"
    ):
        memory.train(params_with())
