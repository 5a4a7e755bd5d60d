"""The study of memory: what is trained, that nothing is trained twice, and what is written."""

from itertools import product
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from benchmarks.seeds import memory
from sentiment.errors import UserError
from tests.conftest import Caller, defaults, runs, stand_in
from tests.extras.conftest import fork_dvc
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
    fork_dvc(project, monkeypatch)
    return project


def params_with(**changes: Any) -> Params:
    return check_params(merged(defaults(), changes), "params.yaml")


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


def test_each_cell_is_trained_at_each_distance_and_each_change_at_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "CUE_DISTANCES", (10, 25))
    monkeypatch.setattr(memory, "CHANGED_AT", (25,))
    cases = memory.cases(params_with())
    whole = [(case.network, case.distance) for case in cases if not case.change]
    assert whole == [*product(("LSTM", "GRU", "plain RNN"), (10, 25, 0))]
    assert [(case.network, case.change, case.distance) for case in cases if case.change] == [
        ("LSTM", "forget bias 3", 25),
        ("LSTM", "clipped at 1", 25),
        ("LSTM", "Glorot weights", 25),
        ("plain RNN", "clipped at 1", 25),
        ("plain RNN", "Glorot weights", 25),
        ("plain RNN", "identity weights", 25),
    ]
    # the data set of the params is a part of the study unless it is generated itself
    own = memory.cases(params_with(fetch={"dataset": "synthetic"}))
    assert 0 not in {case.distance for case in own}


def test_generated_sets_keep_the_cue_and_differ_in_the_distance_alone() -> None:
    params = params_with()
    generated = [changed(params, case.changes) for case in memory.cases(params) if case.distance]
    for used in generated:
        assert used.fetch.synthetic.max_length + 1 == used.pad.max_length
    near, far = (memory.generated(distance) for distance in (10, 40))
    assert {name: far[name] - near[name] for name in near if near[name] != far[name]} == {
        "fetch.synthetic.cue_distance": 30,
        "fetch.synthetic.min_length": 30,
        "fetch.synthetic.max_length": 30,
        "pad.max_length": 30,
    }


def test_a_value_that_the_params_had_before_does_not_change_the_cells() -> None:
    params = params_with(train={"forget_bias": 3.0, "clip_norm": 1.0})
    used = [changed(params, case.changes).train for case in memory.cases(params) if not case.change]
    assert {(train.forget_bias, train.clip_norm) for train in used} == {(1.0, 0.0)}


@pytest.mark.usefixtures("project")
def test_a_failed_training_says_how_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow.dvc.run", lambda *_: 1)
    expected = rf"LSTM, cue 10 words before the end, seed 42 failed.*`{memory.COMMAND}` resumes"
    with pytest.raises(UserError, match=expected):
        memory.train(params_with())
