"""A network that is not recurrent goes wherever a recurrent one goes, by the real commands."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from extras.compare import __main__ as compare
from extras.ensemble import __main__ as ensemble
from sentiment.network.architectures import ARCHITECTURES
from stages import evaluate, train
from tests.browser import SECONDS, open_page
from tests.browser import text as text_of
from tests.conftest import Caller, Sharer, Starter, runs, stand_in
from tests.extras.conftest import SWEEP_SETTINGS
from tests.extras.demo.test_demo import write_review
from tests.project import EPOCHS, MODEL, TRANSFORMER, Project, free_port, until, wait_for
from tests.sentiment.network.test_architectures import convolution
from tests.stages.test_survival import epochs_done, trainer
from tests.tools.test_serving import Server, probabilities
from tools import predict, promote, verify
from workflow.runs import training_run

SETTINGS: dict[str, Any] = {**TRANSFORMER, "pooling": "mean", "epochs": EPOCHS}
NAME = "transformer-4 · 2 heads · masked · mean · len 40"
TEXT = "the plot was not good"


@pytest.fixture(scope="session")
def transformed(finished: Project, shared: Sharer) -> Project:
    """A finished project after its second training, of a transformer, which is champion."""

    def train_transformer(project: Project) -> None:
        project.change(train=SETTINGS)
        project.run("dvc", "repro")
        run_id = json.loads((project.path / "data/train/run.json").read_bytes())["run_id"]
        project.run("python", "-m", "tools.promote", "--run", run_id)
        project.commit()

    return shared("transformed", train_transformer, finished.path)


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


def traced(call: Caller, model: str) -> dict[str, Any]:
    """What `make predict JSON=1 TRACE=1` prints of a text."""
    ask = ("--json", "--trace", "--text", TEXT, "--model", model)
    answer: dict[str, Any] = json.loads(call(predict.main, *ask).splitlines()[-1])
    return answer


def assert_read_without_gates(answer: dict[str, Any]) -> None:
    """Each word has its effect on the answer and the answer after it, and no gate."""
    assert {word["word"] for word in answer["words"]} <= set(TEXT.split())
    assert any(word["log_odds"] for word in answer["words"])
    assert {frozenset(step) for step in answer["trace"]} == {frozenset({"word", "probability"})}
    assert answer["trace"][-1]["probability"] == answer["probability"]


@pytest.mark.usefixtures("project")
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
    killed.change(train=SETTINGS)
    process = start(killed, "dvc", "repro")
    until(lambda: epochs_done(killed) >= 3)
    training = trainer(killed)
    process.kill()
    training.kill()
    process.communicate(timeout=60)
    assert "Resuming after epoch" in killed.run("dvc", "repro")
    assert verify.differences(killed.path / "data", transformed.path / "data") == set()
    assert list((killed.path / training_run.FOLDER).glob("*/epoch-*")) == []


@pytest.mark.usefixtures("project")
def test_its_answers_are_explained_and_traced_without_gates(call: Caller) -> None:
    assert_read_without_gates(traced(call, f"models:/{MODEL}@champion"))


def test_it_is_served_with_the_evaluation_s_bits(project: Project, start: Starter) -> None:
    port = free_port()
    process = start(project, "python", "-m", "tools.serve", SERVE_PORT=str(port))
    wait_for(f"http://127.0.0.1:{port}/health")
    rows = pd.read_csv("data/evaluate/mistakes.csv")
    answer = probabilities(Server(project, port).ask(rows["text"].tolist()))
    np.testing.assert_array_equal(answer, rows["probability"].to_numpy(np.float32))
    process.send_signal(signal.SIGTERM)


def test_its_demo_shows_the_answer_after_each_word_and_no_gates(
    project: Project, start: Starter, browser: webdriver.Chrome
) -> None:
    port = free_port()
    start(project, "python", "-m", "extras.demo", DEMO_PORT=str(port))
    wait_for(f"http://127.0.0.1:{port}/_stcore/health")
    open_page(browser, f"http://127.0.0.1:{port}", "probability of being positive")
    write_review(browser, TEXT)
    strips = "[data-testid=stVegaLiteChart] .mark-rect path"
    WebDriverWait(browser, SECONDS).until(
        lambda b: len(b.find_elements("css selector", strips)) == len(TEXT.split())
    )
    assert "forget gate" not in text_of(browser)


@pytest.mark.usefixtures("project")
def test_it_is_compared_and_joins_an_lstm_in_an_ensemble(call: Caller) -> None:
    transformer, lstm = run_ids()
    output = call(compare.main, "--a", lstm, "--b", transformer)
    assert "| train.architecture | recurrent | transformer |" in output
    printed = call(ensemble.main, "--json", "--runs", f"{lstm} {transformer}")
    made = json.loads(printed.splitlines()[-1])
    assert list(made["weights"].values()) == [0.5, 0.5]
    assert 0 < made["metrics"]["test_accuracy"] < 1


def test_it_is_trained_under_seeds_and_in_a_sweep(project: Project) -> None:
    project.run("python", "-m", "extras.seeds", "--count", "2")
    space = {"train.heads": {"choices": [1, 4]}, "train.layers": {"low": 1, "high": 2}}
    project.change(train={"epochs": 2}, sweep=SWEEP_SETTINGS | {"space": space})
    project.run("python", "-m", "extras.sweep", "--trials", "1", "--workers", "1")
    names = [run.info.run_name for run in runs()]
    assert f"2 seeds · {NAME} · synthetic" in names
    assert [name for name in names if re.search("transformer-4 · [14] heads.* · seed 43", name)]


@pytest.mark.usefixtures("project")
def test_another_encoder_goes_the_same_way_by_its_one_entry(
    call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "transformer", convolution)
    transformer, _ = run_ids()
    call(train.main)
    call(evaluate.main)
    newest = runs()[0].info.run_id
    assert newest != transformer
    call(promote.main, "--run", newest)
    assert_read_without_gates(traced(call, f"models:/{MODEL}@champion"))
    output = call(compare.main, "--a", transformer, "--b", newest)
    assert f"run {newest}" in output
