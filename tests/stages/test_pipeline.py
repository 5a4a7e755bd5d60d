"""The whole pipeline by the real commands, on a small synthetic set, in a repository of its own."""

import json
import os
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from sentiment.network.training import Training
from sentiment.section import flatten
from stages import evaluate, fetch, pad, train
from tests.conftest import Caller, Starter, runs, stand_in
from tests.project import QUIET, Project, free_port, until, wait_for
from tests.stages.test_dvc_yaml import STAGES, cached, uncached
from tests.stages.test_survival import H5PY_AT_EXIT, assert_killed, epochs_done
from tools import repro
from workflow import dvc
from workflow.params import load_params

FIGURES = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Stand in the project's root: its artifact locations are relative."""
    for name in ("finished", "two_runs", "project"):  # a copy comes after what it is a copy of
        if name in request.fixturenames:
            stand_in(request.getfixturevalue(name).path, monkeypatch)


def executed(output: str) -> list[str]:
    """The stages that a `dvc repro` ran."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


def ask(url: str, document: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_each_stage_wrote_what_dvc_yaml_lists_and_git_keeps_its_part(project: Project) -> None:
    folders = sorted(path.name for path in (project.path / "data").iterdir() if path.is_dir())
    assert folders == sorted(STAGES)
    for stage in ("train", "evaluate"):
        assert set(project.contents(f"data/{stage}")) == cached(stage) | uncached(stage)
    kept = project.run("git", "ls-files", "data/*/*").split()
    assert set(kept) == uncached("train") | uncached("evaluate")
    assert project.run("git", "status", "--porcelain") == ""


def printed(project: Project) -> str:
    """What the command printed that made a shared project's last run."""
    return project.path.with_name("output").read_text(encoding="utf-8")


def test_changed_train_param_reruns_train_and_evaluate_and_the_runs_compare(
    two_runs: Project,
) -> None:
    assert executed(printed(two_runs)) == ["train", "evaluate"]
    new, old = runs()
    assert (new.data.params["train.units"], old.data.params["train.units"]) == ("6", "4")
    assert new.data.metrics["test_loss"] != old.data.metrics["test_loss"]
    client = mlflow.MlflowClient()
    for run, epochs in ((new, 3), (old, 2)):
        for name in FIGURES:
            points = client.get_metric_history(run.info.run_id, name)
            assert [point.step for point in points] == list(range(1, epochs + 1))


def test_a_change_reruns_what_depends_on_it_and_nothing_else(project: Project) -> None:
    before = project.contents("data")
    (project.path / "README.md").write_text("changed", encoding="utf-8")
    assert "Data and pipelines are up to date." in project.run("dvc", "repro")
    assert project.contents("data") == before
    assert len(runs()) == 1
    project.change(fetch={"url": NOWHERE})
    assert executed(project.run("dvc", "repro")) == ["fetch"]
    project.change(evaluate={"figure_dpi": 60, "threshold": 0.6})
    assert executed(project.run("dvc", "repro", "--dry")) == ["evaluate"]
    project.change(pad={"max_length": 30})
    assert executed(project.run("dvc", "repro", "pad")) == ["pad"]
    changed = json.loads(project.run("dvc", "status", "--json", "dvc.yaml"))
    assert set(changed) == {"train", "evaluate"}


def test_run_holds_all_params_that_shaped_it_by_their_dotted_names(finished: Project) -> None:
    params = load_params(finished.path / "params.yaml")
    shaped = {f"fetch.synthetic.{key}" for key, _ in params.fetch.synthetic} | {"fetch.dataset"}
    shaped |= set(flatten(params.pad, "pad")) | set(flatten(params.train, "train"))
    logged = runs()[0].data.params
    assert set(logged) == shaped
    recorded = json.loads((finished.path / "data/train/about.json").read_bytes())["params"]
    assert logged == {name: str(recorded[name]) for name in shaped}


def test_run_holds_figures_files_data_sets_and_tags(finished: Project) -> None:
    (run,) = runs()
    metrics = json.loads((finished.path / "data/evaluate/metrics.json").read_bytes())
    assert run.info.run_name == "lstm-4 · len 40 · seed 42 · synthetic"
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"]
    assert run.data.metrics["test_brier"] == metrics["test_brier"]
    client = mlflow.MlflowClient()
    for name in ("initial_gradient_norm", "gradient_norm"):
        first = client.get_metric_history(run.info.run_id, name)[0]
        assert (first.step, first.value) == (0, 1), name
    logged = {
        file.path
        for folder in ("train", "evaluate")
        for file in client.list_artifacts(run.info.run_id, folder)
    }
    written = finished.contents("data/train") | finished.contents("data/evaluate")
    names = {path.removeprefix("data/") for path in written}
    here = {"train/about.json", "train/model.keras", "train/run.json"}
    assert logged == names - here
    assert run.inputs is not None
    inputs = {(i.tags[0].value, i.dataset.name) for i in run.inputs.dataset_inputs}
    assert inputs == {
        (context, f"synthetic-{context}") for context in ("training", "validation", "test")
    }
    assert len({i.dataset.digest for i in run.inputs.dataset_inputs}) == 3
    tags = run.data.tags
    assert tags["dataset"] == "synthetic"
    assert tags["git.commit"] == finished.run("git", "rev-parse", "HEAD~1").strip()
    assert tags["git.uncommitted_changes"] == "none"


@pytest.mark.usefixtures("two_runs")
def test_uncommitted_changes_are_named() -> None:
    assert runs()[0].data.tags["git.uncommitted_changes"] == "M  params.yaml"


def test_figures_are_linked_to_the_model(finished: Project) -> None:
    identity = json.loads((finished.path / "data/train/run.json").read_bytes())
    model = mlflow.get_logged_model(identity["model_id"])
    assert model.status == "READY"
    logged = {(metric.key, metric.step) for metric in model.metrics or []}
    assert {("val_accuracy", 1), ("val_accuracy", 2), ("test_accuracy", 0)} <= logged


def test_logged_model_predicts_what_evaluate_saw_over_http_too(
    finished: Project, start: Starter
) -> None:
    (run,) = runs()
    address, port = f"runs:/{run.info.run_id}/model", free_port()
    command = ["mlflow", "models", "serve", "--env-manager", "local", "--model-uri", address]
    start(finished, *command, "--port", str(port))
    model = mlflow.pyfunc.load_model(address)
    assert model.metadata.signature is not None
    assert model.input_example.shape == (1, 40)
    x = np.load(finished.path / "data/pad/x_test.npy").astype(np.int32)
    table = pd.read_csv(finished.path / "data/evaluate/predictions.csv")
    seen = table["probability"].to_numpy()
    assert model.predict(x)[:, 0] == pytest.approx(seen, abs=1e-6)
    wait_for(f"http://127.0.0.1:{port}/ping")
    answer = ask(f"http://127.0.0.1:{port}/invocations", {"inputs": x[:3].tolist()})
    assert np.ravel(answer["predictions"]) == pytest.approx(seen[:3], abs=1e-6)


def test_moved_folder_keeps_its_artifacts(project: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    project.path.rename(elsewhere)
    os.chdir(elsewhere)
    mlflow.set_tracking_uri(f"sqlite:///{elsewhere}/mlflow.db")
    (run,) = runs()
    assert run.info.artifact_uri.startswith("mlruns/")
    path = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/evaluate/accuracy.png")
    assert Path(path).read_bytes().startswith(b"\x89PNG")


def test_bad_params_fail_with_one_message_and_touch_nothing(project: Project) -> None:
    before = project.contents("data")
    project.change(train={"unitz": 3})
    output = project.fail("dvc", "repro")
    assert "train.unitz: unknown key. Did you mean units?" in output
    assert "Traceback" not in output
    assert project.contents("data") == before
    assert len(runs()) == 1


def test_make_repro_refuses_bad_params_before_dvc_starts(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.change(train={"epochs": 0})
    monkeypatch.setattr(dvc, "run", None)
    assert "train.epochs: 0 is not allowed" in call.fail(repro.main)


def test_damaged_files_are_refused_by_their_readers_and_healed_by_dvc_repro(
    project: Project, call: Caller
) -> None:
    before = project.contents("data")
    damaged = {
        "data/fetch/train_tokens.npy": (pad, before["data/fetch/train_tokens.npy"][:-9]),
        "data/pad/x_train.npy": (train, before["data/pad/x_train.npy"][:-9] + b"tampered!"),
        "data/train/model.keras": (evaluate, before["data/train/model.keras"][:-9]),
        "data/train/run.json": (evaluate, None),
        "data/fetch/word_index.json": (evaluate, before["data/fetch/word_index.json"] + b" "),
    }
    for path, (reader, content) in damaged.items():
        if content is None:
            (project.path / path).unlink()
        else:
            (project.path / path).write_bytes(content)
        assert path in call.fail(reader.main)
        (project.path / path).write_bytes(before[path])
    assert project.contents("data") == before
    for path, (_, content) in damaged.items():
        (project.path / path).write_bytes(content or b"")
    (project.path / "data/train/run.json").unlink()
    project.run("dvc", "repro")
    assert project.contents("data").items() >= {path: before[path] for path in damaged}.items()


def test_make_repro_goes_on_with_the_synthetic_set_and_says_so(project: Project) -> None:
    project.change(fetch={"dataset": "imdb", "url": NOWHERE}, evaluate={"figure_dpi": 60})
    nothing = str(project.path / "nothing")
    output = project.run("python", "-m", "tools.repro", KERAS_HOME=nothing)
    assert load_params(project.path / "params.yaml").fetch.dataset == "synthetic"
    assert executed(output) == ["fetch", "fetch", "evaluate"]
    assert "Connection refused" in output
    assert "Traceback" not in output
    start, end = output.index("NOT IMDB's"), output.rindex("NOT IMDB's")
    assert start < output.index("Test Accuracy: 0.") < end
    assert "params.yaml now says fetch.dataset: synthetic" in output
    assert runs()[0].data.tags["dataset"] == "synthetic"
    metrics = json.loads((project.path / "data/evaluate/metrics.json").read_bytes())
    assert metrics["dataset"] == "synthetic"


def test_imdb_out_of_reach_is_one_message(project: Project, call: Caller) -> None:
    project.change(fetch={"dataset": "imdb", "url": NOWHERE})
    message = call.fail(fetch.main, KERAS_HOME=str(project.path / "nothing"))
    assert "fetch.dataset: synthetic" in message


def test_another_failure_is_not_taken_for_want_of_imdb(
    imdb_project: Project, tmp_path: Path
) -> None:
    project = imdb_project.copy(tmp_path / "project")
    (project.path / "stages" / "pad.py").write_text("raise SystemExit('broken')", encoding="utf-8")
    assert "broken" in project.fail("python", "-m", "tools.repro")
    assert load_params(project.path / "params.yaml").fetch.dataset == "imdb"


def test_ctrl_c_at_make_repro_kills_the_training_and_keeps_its_epochs_and_the_last_run_s_files(
    project: Project, start: Starter
) -> None:
    project.change(train={"epochs": 1000})
    before = project.contents("data")
    process = start(project, "python", "-m", "tools.repro")
    until(lambda: epochs_done(project) >= 2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode not in (0, None)
    assert "Traceback" not in H5PY_AT_EXIT.sub("", output)
    assert_killed(runs()[0])
    assert project.contents("data") == before


class BlownUp(Training):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.model.get_layer("probability").bias.assign([float("nan")])


def test_diverged_training_is_one_message_and_a_bug_a_traceback_and_the_run_is_failed(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.contents("data")
    monkeypatch.setattr(train, "Training", BlownUp)
    message = call.fail(train.main)
    assert "Epoch 1 diverged, loss nan: lower train.learning_rate" in message
    assert runs()[0].info.status == "FAILED"
    project.change(train={"seed": 1})
    monkeypatch.setattr(train, "Training", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call(train.main)
    assert [run.info.status for run in runs()] == ["FAILED", "FAILED", "FINISHED"]
    assert project.contents("data") == before


def test_training_shows_a_progress_bar_on_a_terminal(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for seed in (1, 2):  # the end of a training leaves the next one its bar
        project.change(train={"seed": seed, "epochs": 1})
        assert "━" in call(train.main)


def test_training_shows_a_plain_line_for_each_epoch_elsewhere(two_runs: Project) -> None:
    output = printed(two_runs)
    assert "━" not in output
    assert "\r" not in output
    assert output.count("val_accuracy:") == 3


def test_experiments_of_dvc_are_runs_named_after_them(two_runs: Project) -> None:
    run = runs()[0]
    assert run.info.run_name.endswith("six")
    assert run.data.params["train.units"] == "6"
    assert run.data.tags["dvc.experiment"] == "six"
    assert run.data.tags["dvc.baseline"] == two_runs.run("git", "rev-parse", "HEAD").strip()
    table = two_runs.run("dvc", "exp", "show", "--csv")
    assert "six" in table
    assert str(run.data.metrics["test_accuracy"])[:6] in table


def test_dvc_compares_metrics_params_and_plots(two_runs: Project, tmp_path: Path) -> None:
    project = two_runs.copy(tmp_path / "project")
    metrics = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    loss = metrics["data/evaluate/metrics.json"]["test_loss"]
    assert loss["diff"] == pytest.approx(loss["new"] - loss["old"])
    params = json.loads(project.run("dvc", "params", "diff", "--json"))
    assert params["params.yaml"]["train.units"] == {"old": 4, "new": 6, "diff": 2}
    project.run("dvc", "plots", "diff")
    page = (project.path / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    for part in ("val_accuracy", "true_positive_rate", "predicted", "observed"):
        assert part in page


def test_a_fresh_clone_knows_the_committed_run(project: Project, tmp_path: Path) -> None:
    project.run("git", "clone", "--quiet", ".", str(tmp_path / "elsewhere"))
    clone = Project(tmp_path / "elsewhere")
    metrics = json.loads((project.path / "data/evaluate/metrics.json").read_bytes())
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json"))
    assert shown[""]["data"]["data/evaluate/metrics.json"]["data"] == metrics
    assert clone.run("dvc", "metrics", "diff", "HEAD") == ""
    experiments = clone.run("dvc", "exp", "show", "--csv")
    assert str(metrics["test_accuracy"]) in experiments
    page = f"file://{clone.path}/dvc_plots/index.html"
    for command in ("show", "diff"):
        assert clone.run("dvc", "plots", command).strip() == page
        html = (clone.path / "dvc_plots" / "index.html").read_text(encoding="utf-8")
        for value in ('"val_loss": ', '"true_positive_rate": ', '"observed": ', '"words": '):
            assert value in html
        negatives = metrics["test_true_negatives"]
        assert f'"predicted": "negative", "reviews": "{negatives}"' in html
    assert clone.run("git", "status", "--porcelain") == ""


def test_server_that_does_not_answer_is_one_message_and_loses_nothing(
    project: Project, call: Caller
) -> None:
    project.change(train={"units": 5})
    before = project.contents("data")
    assert "does not answer" in call.fail(train.main, MLFLOW_TRACKING_URI=NOWHERE)
    assert project.contents("data") == before


def test_bare_mlflow_ui_shows_the_runs_and_their_artifacts(
    finished: Project, start: Starter
) -> None:
    port = free_port()
    start(finished, "mlflow", "ui", "--port", str(port), **QUIET)
    wait_for(f"http://127.0.0.1:{port}/health")
    mlflow.set_tracking_uri(f"http://127.0.0.1:{port}")
    (run,) = runs()
    query = f"path=evaluate/accuracy.png&run_uuid={run.info.run_id}"
    page = f"http://127.0.0.1:{port}/get-artifact?{query}"
    with urllib.request.urlopen(page, timeout=30) as answer:
        assert answer.read().startswith(b"\x89PNG")


@pytest.mark.parametrize("loss", ["run", "store"])
def test_evaluation_of_a_run_that_the_store_does_not_have_goes_on(
    project: Project, call: Caller, loss: str
) -> None:
    if loss == "run":
        mlflow.MlflowClient().delete_run(runs()[0].info.run_id)
    else:
        (project.path / "mlflow.db").unlink()
    output = call(evaluate.main)
    assert "The tracking store has no run" in output
    assert "Test Accuracy: 0." in output
