"""A network that is not recurrent goes wherever a recurrent one goes, by the real commands.

`make seeds` trains one in `tests/extras/seeds/test_seeds.py`.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from extras.compare import __main__ as compare
from extras.demo import __main__ as demo
from extras.demo import gates
from extras.ensemble import __main__ as ensemble
from sentiment.network.architectures import ARCHITECTURES
from stages import evaluate, train
from tests.conftest import Caller, Starter, runs, stand_in
from tests.extras.conftest import NAME, SWEEP_SETTINGS
from tests.project import MODEL, Project, until
from tests.sentiment.network.test_architectures import convolution
from tests.stages.test_survival import epochs_done, trainer
from tools import predict, promote, verify
from workflow.registry import champion
from workflow.runs import training_run

TEXT = "the plot was not good"


@pytest.fixture(autouse=True)
def standing(transformed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """That project as the working directory; tests leave it as it is."""
    stand_in(transformed.path, monkeypatch)


@pytest.fixture
def project(transformed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `transformed` of one's own, which is the working directory."""
    project = transformed.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def run_ids() -> tuple[str, str]:
    """Ids of the runs of the transformer and of the LSTM."""
    newest, oldest = runs()
    return newest.info.run_id, oldest.info.run_id


def assert_explained(call: Caller) -> None:
    """Words have an effect on the champion's answer, which is the last one of its trace."""
    answer = json.loads(call(predict.main, "--json", "--trace", "--text", TEXT).splitlines()[-1])
    assert {word["word"] for word in answer["words"]} <= set(TEXT.split())
    assert any(word["log_odds"] for word in answer["words"])
    assert answer["trace"][-1]["probability"] == answer["probability"]


def test_its_run_is_named_and_evaluated() -> None:
    run = runs()[0]
    assert run.info.run_name == f"{NAME} · seed 42 · synthetic"
    assert run.data.params["train.architecture"] == "transformer"
    assert run.data.tags["train.path"] == "stock Keras: a transformer has no other path"
    assert 0 < run.data.metrics["test_accuracy"] < 1
    assert 0 < run.data.metrics["gradient_reach"] < 40


def test_killed_it_is_resumed_to_the_same_bits(
    finished: Project, transformed: Project, tmp_path: Path, start: Starter
) -> None:
    killed = finished.copy(tmp_path / "killed")
    shutil.copy2(transformed.path / "params.yaml", killed.path)
    process = start(killed, "dvc", "repro")
    until(lambda: epochs_done(killed) >= 3)
    training = trainer(killed)
    process.kill()
    training.kill()
    process.communicate(timeout=60)
    assert "Resuming after epoch" in killed.run("dvc", "repro")
    assert verify.differences(killed.path / "data", transformed.path / "data") == set()
    assert list((killed.path / training_run.FOLDER).glob("*/epoch-*")) == []


def test_its_answers_are_explained_and_traced(call: Caller) -> None:
    assert_explained(call)


def test_it_is_served_with_the_evaluation_s_bits() -> None:
    rows = pd.read_csv("data/evaluate/mistakes.csv", dtype={"probability": np.float32})
    answers = champion.load(f"models:/{MODEL}@champion").predict(None, rows[["text"]])
    np.testing.assert_array_equal(answers["probability"], rows["probability"])


def test_its_demo_answers_and_has_no_gates() -> None:
    page = AppTest.from_file(demo.PAGE, default_timeout=100).run()
    assert not page.exception
    assert page.subheader[0].value in ("Positive", "Negative")
    assert gates.watched(champion.load(f"models:/{MODEL}@champion").reader) is None


@pytest.mark.usefixtures("project")
def test_it_joins_an_lstm_in_an_ensemble_and_both_are_compared(call: Caller) -> None:
    transformer, lstm = run_ids()
    output = call(compare.main, "--a", lstm, "--b", transformer)
    assert "| train.architecture | recurrent | transformer |" in output
    printed = call(ensemble.main, "--json", "--runs", f"{lstm} {transformer}")
    result = json.loads(printed.splitlines()[-1])
    assert list(result["weights"].values()) == [0.5, 0.5]
    output = call(compare.main, "--a", result["run_id"], "--b", transformer)
    assert f"run {result['run_id']}" in output
    assert f"{result['metrics']['test_accuracy']:.4f}" in output


def test_it_is_trained_in_a_sweep(project: Project) -> None:
    space = {"train.heads": {"choices": [1, 4]}, "train.layers": {"low": 1, "high": 2}}
    project.change(train={"epochs": 1}, sweep=SWEEP_SETTINGS | {"space": space})
    project.run("python", "-m", "extras.sweep", "--trials", "1", "--workers", "1")
    names = [run.info.run_name for run in runs()]
    assert [name for name in names if re.search("transformer-4 · [14] heads.* · seed 43", name)]


def test_another_encoder_goes_the_same_way_by_its_one_entry(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.change(train={"epochs": 1})
    monkeypatch.setitem(ARCHITECTURES, "transformer", convolution)
    transformer, _ = run_ids()
    call(train.main)
    call(evaluate.main)
    newest = runs()[0].info.run_id
    assert newest != transformer
    call(promote.main, "--run", newest)
    assert_explained(call)
    output = call(compare.main, "--a", transformer, "--b", newest)
    assert f"run {newest}" in output
