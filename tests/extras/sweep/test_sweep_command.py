"""`make sweep`: trials as runs, nothing lost, the best written back and reproduced."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import optuna
import psutil
import pytest
from mlflow.entities import Run
from optuna.trial import TrialState
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from extras.sweep import __main__ as sweep
from extras.sweep import space, study
from sentiment.errors import UserError
from sentiment.section import flatten
from tests.browser import SECONDS, keep_screenshot, open_page, text, wait_for_curves
from tests.conftest import Caller, runs, stand_in
from tests.extras.documented import documented
from tests.project import QUIET, ROOT, Project, free_port, until, wait_for
from tests.services import dask, mlflow_server, postgres
from workflow import cli
from workflow.params import load_params
from workflow.runs import links

MARK = "sesame"  # the password of the database
LONG = {"train": {"epochs": 8}, "sweep": {"pruner": "none"}}  # enough to be broken in the middle
# as `python -m extras.sweep`, but that a process which died is noticed sooner
SWEEP = (
    "python",
    "-c",
    "from extras.sweep import __main__, study\n"
    "study.GRACE_SECONDS = 15\n"
    "__main__.cli.run('make sweep', __main__.main)",
)


@pytest.fixture
def project(swept: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `swept` of one's own, which is the working directory."""
    project = swept.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def parent() -> Run:
    """The sweep's own run."""
    (run,) = (run for run in runs() if "sweep.key" in run.data.tags)
    return run


def children() -> list[Run]:
    """The runs of its trials, the first one first."""
    of_sweep = parent().info.run_id
    return [run for run in runs() if run.data.tags.get("mlflow.parentRunId") == of_sweep][::-1]


def trials(name: str = "") -> list[optuna.trial.FrozenTrial]:
    """The trials of the one sweep here, or those of its confirmation."""
    key = parent().data.tags["sweep.key"]
    searched = optuna.load_study(study_name=f"sweep-{key}{name}", storage="sqlite:///sweeps.db")
    return study.slots(searched)


def curve(run: Run, metric: str = "val_loss", store: str | None = None) -> dict[int, float]:
    """A metric of a run, of this store or another, by epoch: each has been logged once."""
    points = mlflow.MlflowClient(store).get_metric_history(run.info.run_id, metric)
    values = {point.step: point.value for point in points}
    assert len(values) == len(points)
    return dict(sorted(values.items()))


def test_each_trial_is_a_run_of_its_params_and_curve_without_model_and_test_set(
    project: Project, finished: Project
) -> None:
    assert len(children()) == 3 + 2
    for run, trial in zip(children()[:3], trials(), strict=True):
        assert run.info.run_id == trial.user_attrs["run"]
        for name, value in space.tidy(trial.params).items():
            assert run.data.params[name] == str(value)
        pruned = trial.state == TrialState.PRUNED
        assert run.info.status == ("KILLED" if pruned else "FINISHED")
        assert ("sweep.pruned" in run.data.tags) == pruned
        assert [*curve(run)] == ([1] if pruned else [1, 2])
        if not pruned:
            assert run.data.metrics["val_accuracy"] == trial.value
    for run in children():
        assert not [name for name in run.data.metrics if name.startswith("test")]
        assert not mlflow.MlflowClient().list_artifacts(run.info.run_id)
        assert not (run.outputs and run.outputs.model_outputs)
    assert project.contents("data") == finished.contents("data")
    assert project.read("git", "status", "--porcelain") == ""  # neither params.yaml nor a lock
    assert not list((project.path / ".checkpoints").glob("*/epoch-*"))


def candidates(printed: str) -> list[dict[str, Any]]:
    """Those of the JSON that a command printed last."""
    document: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return list(document["candidates"])


@pytest.mark.usefixtures("project")
def test_the_best_are_trained_again_under_the_seeds_after_the_first_and_none_twice(
    call: Caller,
) -> None:
    before = [run.to_dictionary() for run in runs()]
    (candidate,) = candidates(call(sweep.main, "--trials", "3", "--json"))
    assert [run.to_dictionary() for run in runs()] == before
    again = trials("-confirmed")
    assert [trial.user_attrs["values"]["train.seed"] for trial in again] == [43, 44]
    assert candidate["confirmed"] == [trial.value for trial in again]
    metrics = [trial.value for trial in trials() if trial.state == TrialState.COMPLETE]
    assert candidate["found"] == max(metrics)
    client, run_id = mlflow.MlflowClient(), parent().info.run_id
    points = client.get_metric_history(run_id, "best_val_accuracy")
    assert [point.value for point in points][-1] == max(metrics)
    assert len(points) == len(metrics)
    assert [file.path for file in client.list_artifacts(run_id)] == ["report.html"]


def test_the_winner_in_params_yaml_gives_its_curve_again_to_the_same_bits(
    project: Project, call: Caller
) -> None:
    (winner,) = candidates(call(sweep.main, "--apply", "--json"))
    trial = children()[winner["trial"]]
    project.run("dvc", "repro")
    call(sweep.main, "--trials", "3")  # trains nothing, and finds the training
    (newest,) = (run for run in runs() if "sweep.run" in run.data.tags)
    assert newest.data.tags["sweep.run"] == parent().info.run_id
    assert parent().data.tags["sweep.reproduced"] == newest.info.run_id
    for metric in ("loss", "val_loss", "val_accuracy"):
        assert curve(trial, metric) == curve(newest, metric)
    assert len(trials()) == 3  # with the winner's values it is still the same sweep


@pytest.fixture
def page(project: Project) -> Iterator[str]:
    """The table of runs in MLflow's UI."""
    server = f"http://127.0.0.1:{free_port()}"
    command = ("mlflow", "ui", "--port", server.rpartition(":")[2])
    process = project.start(*command, **QUIET)
    try:
        wait_for(f"{server}/health")
        yield links.link("1", server=server)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_ui_lists_trials_below_their_sweep_and_draws_the_curve_of_each(
    browser: webdriver.Chrome, page: str
) -> None:
    names = [str(run.info.run_name) for run in children()]
    open_page(browser, page, str(parent().info.run_name), "7 matching runs")
    assert names[0] not in text(browser)
    browser.find_element(By.CSS_SELECTOR, "button[data-component-id*=runnamecell]").click()
    WebDriverWait(browser, SECONDS).until(lambda b: all(name in text(b) for name in names))
    keep_screenshot(browser, "sweep-table")
    open_page(browser, f"{page}&compareRunsMode=CHART", *names, "Model metrics")
    wait_for_curves(browser, "^val_accuracy$", {"val_accuracy": len(names) + 1})
    keep_screenshot(browser, "sweep-chart")


def has_begun(project: Project) -> bool:
    """Whether a training has a checkpoint there."""
    return any(project.path.glob(".checkpoints/*/epoch-*"))


def workers(driver: psutil.Process) -> set[psutil.Process]:
    """The processes that train."""
    training = set()
    for process in driver.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any(Path(file.path).name.startswith("lock-") for file in process.open_files()):
                training.add(process)
    return training


def test_a_killed_worker_and_ctrl_c_cost_no_epoch_and_more_trials_join_the_same_sweep(
    project: Project,
) -> None:
    project.change(**LONG)
    process = project.start(*SWEEP, "--trials", "2", "--workers", "1")
    driver = psutil.Process(process.pid)
    victims: list[psutil.Process] = []

    def find_victim() -> bool:
        victims.extend(workers(driver) if has_begun(project) else ())
        return bool(victims)

    until(find_victim, pause=0.1)
    victim = victims[0]
    victim.kill()
    until(lambda: workers(driver) - {victim}, pause=0.1)
    started = driver.children(recursive=True)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert "interrupted" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(started, timeout=10)
    assert alive == []
    output = project.run(*SWEEP, TRIALS="3", WORKERS="1")
    assert "Resuming after epoch" in output
    assert "3 of 3" in output
    assert "oneDNN" not in output  # nor anything else that TensorFlow prints as it starts
    assert len([run for run in runs() if "sweep.key" in run.data.tags]) == 2
    mine = [run for run in runs() if run.data.params.get("train.epochs") == "8"]
    assert len(mine) == 3 + 2
    for run in mine:
        assert run.info.status == "FINISHED"
        assert [*curve(run)] == [*range(1, 9)]


def documented_tls(folder: Path) -> dict[str, str]:
    """The settings of Dask by the commands of the documentation, which write into a folder."""
    commands = documented("## Dask over TLS", ROOT / "docs" / "security.md")
    script = "\n".join([*commands, "env -0"])
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, check=True)
    variables = dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if line)
    return {name: variables[name] for name in variables if name.startswith("DASK_")}


def test_workers_in_three_clones_over_tls_may_die_as_the_driver_may(
    project: Project, tmp_path: Path
) -> None:
    """With PostgreSQL, an MLflow server, and reviews that were fetched in a clone."""
    clones = [Project(tmp_path / f"worker-{number}") for number in range(3)]
    for clone in clones:
        project.run("git", "clone", "--quiet", "--shared", ".", str(clone.path))
    clones[0].run("dvc", "repro", "fetch")
    for clone in clones[1:]:
        shutil.copytree(clones[0].path / "data", clone.path / "data", dirs_exist_ok=True)
    project.change(**LONG)
    (tmp_path / "server").mkdir()
    settings = documented_tls(tmp_path)
    with postgres(MARK) as database, mlflow_server(tmp_path / "server") as server:
        settings["SWEEP_STORAGE"] = database.address.replace("test@", f"test:{MARK}@")
        project.environment |= {"MLFLOW_TRACKING_URI": server, **settings}
        with dask(tmp_path, project.path, workers=3, protocol="tls", **settings) as started:
            assert started.address.startswith("tls://")
            until(lambda: started.output.read_text().count("Registered to") == 3)
            command = (*SWEEP, "--trials", "3", "--scheduler", started.address)
            driver = project.start(*command)
            waiting = {*clones}

            def all_have_begun() -> bool:
                waiting.difference_update([clone for clone in clones if has_begun(clone)])
                return not waiting

            until(all_have_begun)
            for process in psutil.Process(started.workers[0].pid).children(recursive=True):
                process.kill()
            started.workers[0].kill()
            driver.kill()
            driver.communicate()
            (candidate,) = candidates(project.read(*command, "--json"))
            printed = started.output.read_text()
        assert len(candidate["confirmed"]) == 2
        assert MARK not in printed
        client = mlflow.MlflowClient(server)
        logged = client.search_runs(["1"], "params.`train.epochs` = '8'")
        assert len(logged) == 3 + 2
        for run in logged:
            assert run.info.status == "FINISHED"
            assert [*curve(run, store=server)] == [*range(1, 9)]


def test_a_cluster_without_servers_or_other_reviews_are_one_message(
    project: Project, call: Caller
) -> None:
    message = call.fail(sweep.main, "--scheduler", "tcp://127.0.0.1:1")
    assert "reach neither mlflow.db nor sweeps.db in this folder" in message
    project.change(fetch={"synthetic": {"seed": 5}})
    assert "data/fetch has other reviews" in call.fail(sweep.main)


def test_an_unfinished_sweep_is_not_applied_unless_that_is_forced(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two that was confirmed may be the worse one."""
    with monkeypatch.context() as patch:
        patch.setattr("extras.sweep.sweep.is_finished", lambda _: False)
        assert "no finished sweep" in call.fail(sweep.main, "--apply")
        patch.setattr("extras.sweep.sweep.candidates", lambda _: [])
        best = max(trials(), key=lambda trial: trial.value if trial.state.name == "COMPLETE" else 0)
        call(sweep.main, "--apply", "--force")
        params = load_params()
        applied = flatten(params.pad, "pad") | flatten(params.train, "train")
        assert space.tidy(best.params).items() <= applied.items()
    project.change(sweep={"seed": 1})
    assert "no finished sweep" in call.fail(sweep.main, "--apply")
    assert "No trial of this sweep" in call.fail(sweep.main, "--apply", "--force")


def test_a_sweep_in_which_no_trial_succeeds_has_a_report_and_fails(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.change(sweep={"seed": 4})
    monkeypatch.setattr(sweep, "run", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["sweep"])
    assert cli.invoke(sweep.main, "make sweep") == 1
    assert "No trial was trained to its end" in capsys.readouterr().out
    (run,) = (run for run in runs() if run.data.params.get("sweep.seed") == "4")
    page = project.path / "reports" / f"sweep-{run.data.tags['sweep.key']}" / "report.html"
    assert "No trial is confirmed yet" in page.read_text(encoding="utf-8")
    logged = mlflow.MlflowClient().list_artifacts(run.info.run_id)
    assert [file.path for file in logged] == ["report.html"]


def test_a_sweep_whose_first_five_trials_fail_is_stopped_with_the_first_error(
    project: Project, call: Caller
) -> None:
    """They are failed runs, with the reason, and the sweep goes on once that is mended."""
    space = {"train.forget_bias": {"choices": [2.0, 3.0]}}
    project.change(train={"cell": "gru"}, sweep={"space": space})
    message = call.fail(sweep.main, "--trials", "30", "--workers", "1")
    assert message.startswith("The first 5 trials all failed. The first one: ")
    assert "train.forget_bias" in message
    failed = [run for run in runs() if "sweep.error" in run.data.tags]
    assert 5 <= len(failed) < 30
    for run in failed:
        assert run.info.status == "FAILED"
        assert run.data.params.keys() == {"train.forget_bias"}
        assert "train.forget_bias" in run.data.tags["sweep.error"]
        assert "mlflow.parentRunId" in run.data.tags


def test_missing_packages_are_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "find_spec", lambda name: None if name == "optuna" else name)
    with pytest.raises(UserError, match="optuna must be installed: `make sweep` does it"):
        sweep.require_packages()
