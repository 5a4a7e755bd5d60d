"""A project at an earlier version is upgraded to this code: docs/upgrading.md."""

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mlflow
import psutil
import pytest
from ruamel.yaml import YAML

from extras.compare import __main__ as compare
from extras.ensemble import __main__ as ensemble
from extras.sweep import __main__ as sweep
from tests.conftest import EARLIER, Caller, Sharer, copy_files, stand_in
from tests.extras.conftest import SWEEP_SETTINGS, answering_as_evaluated
from tests.project import EPOCHS, EXTRAS, MODEL, ROOT, SMALL, Project, change_params, until
from tools import demote, promote, sync
from workflow import files
from workflow.params import MOVED

# runs of the earlier version, by the numbers of their versions of the registered model
NETWORK, LINEAR, ENSEMBLE = 1, 2, 3
NAME = "lstm-4 · len 40 · seed 42 · synthetic"


def kill(project: Project, begun: Callable[[], object], *command: str) -> None:
    """Start a command, and kill it with its children once it has begun."""
    process = project.start(*command)
    until(lambda: process.poll() is not None or begun())
    assert process.poll() is None, process.communicate()
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()  # first, or it would replace them
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    process.communicate(timeout=60)


@pytest.fixture(scope="session")
def upgraded(shared: Sharer) -> Project:
    """A project whose code was replaced amid its work; its user's files are as they were.

    It has a champion, a linear model, an ensemble, a killed training and an open sweep.
    """

    def use_and_upgrade(project: Project) -> None:
        kept = ("--", ".", ":(exclude)*dvc.lock", ":(exclude)data/*/*")
        command = ("git", "archive", EARLIER, *kept)
        archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        project.path.mkdir(parents=True)
        subprocess.run(["tar", "--extract"], cwd=project.path, input=archive, check=True)
        change_params(project.path / "params.yaml", SMALL)
        project.run("git", "init", "--quiet")
        project.commit()
        project.run("dvc", "repro")
        project.run("dvc", "repro", "baseline/dvc.yaml:linear@tfidf")
        runs = " ".join(run_of(project, version) for version in (NETWORK, LINEAR))
        project.run("python", "-m", "tools.ensemble", "--runs", runs)
        edited = {"train": {"epochs": EPOCHS}, "sweep": SWEEP_SETTINGS}
        change_params(project.path / "params.yaml", edited)
        project.commit()
        checkpoints = project.path / ".checkpoints"
        epoch, locked = "*/epoch-0002", "*/process"  # the second one locked is a trial
        kill(project, lambda: [*checkpoints.glob(epoch)], "python", "-m", "stages.train")
        search = ("python", "-m", "tools.sweep", "--trials", "2", "--workers", "1")
        kill(project, lambda: len([*checkpoints.glob(locked)]) == 2, *search)
        users = [":(exclude)params.yaml", ":(exclude)*dvc.lock", ":(exclude)data"]
        params = (project.path / "params.yaml").read_bytes()
        project.run("git", "rm", "-r", "--quiet", "--", ".", *users)
        copy_files(project)
        (project.path / "params.yaml").write_bytes(params)
        project.commit()

    return shared("upgraded", use_and_upgrade)


@pytest.fixture(scope="session")
def mended(upgraded: Project, shared: Sharer) -> Project:
    """The project after its user did with params.yaml what the message says."""

    def mend(project: Project) -> None:
        yaml, path = YAML(), project.path / "params.yaml"
        params = yaml.load(path)
        params["train"] |= {"architecture": "recurrent", "heads": 0}
        removed = {name: params.pop(name) for name in MOVED if name in params}
        yaml.dump(params, path)
        for name, file in EXTRAS.items():
            yaml.dump(removed[name], project.path / "extras" / file)
        project.commit()

    return shared("mended", mend, upgraded.path)


@pytest.fixture(scope="session")
def trained(mended: Project, shared: Sharer) -> Project:
    """The project after a training by the new code; what that printed is in `output` beside it."""

    def train(project: Project) -> None:
        output = project.run("dvc", "repro")
        project.path.with_name("output").write_text(output, encoding="utf-8")

    return shared("trained", train, mended.path)


@pytest.fixture
def standing(trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project of one's own, which is the working directory."""
    project = trained.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def run_of(project: Project, version: int) -> str:
    """The id of the run of a version of the registered model."""
    client = mlflow.MlflowClient(f"sqlite:///{project.path}/mlflow.db")
    return str(client.get_model_version(MODEL, str(version)).run_id)


def champion_of(project: Project) -> int:
    client = mlflow.MlflowClient(f"sqlite:///{project.path}/mlflow.db")
    return int(client.get_model_version_by_alias(MODEL, "champion").version)


def test_every_key_that_has_to_be_moved_or_added_is_named_and_no_file_is_lost(
    upgraded: Project, tmp_path: Path
) -> None:
    project = upgraded.copy(tmp_path / "project")
    output = project.fail("dvc", "repro")
    for key, place in MOVED.items():
        assert re.search(rf"{re.escape(key)}: .*{re.escape(place)}", output), key
    assert project.contents("data") == upgraded.contents("data")


def test_the_killed_training_begins_anew_and_its_checkpoints_are_named(trained: Project) -> None:
    output = trained.path.with_name("output").read_text(encoding="utf-8")
    (folder,) = {epoch.parent.name for epoch in trained.path.glob(".checkpoints/*/epoch-*")}
    assert f"Not resumed: the checkpoints in .checkpoints/{folder}, of" in output
    assert "Resuming" not in output


@pytest.mark.usefixtures("standing")
def test_the_training_has_the_curve_that_the_killed_one_had_so_far() -> None:
    client = mlflow.MlflowClient()
    same = f"attributes.run_name = '{NAME}' AND params.`train.epochs` = '{EPOCHS}'"
    killed, new = client.search_runs(["1"], same, order_by=["attributes.start_time"])
    assert killed.info.status == "KILLED"
    earlier, curve = (
        {point.step: point.value for point in client.get_metric_history(run.info.run_id, "loss")}
        for run in (killed, new)
    )
    assert 1 in earlier
    assert earlier.items() <= curve.items()


@pytest.mark.usefixtures("standing")
def test_the_open_sweep_is_named_by_the_one_that_begins(call: Caller) -> None:
    assert "There is no finished sweep" in call.fail(sweep.main, "--apply")
    runs = mlflow.MlflowClient().search_runs(["1"], order_by=["attributes.start_time"])
    earlier, new = (run.data.tags["sweep.key"] for run in runs if "sweep.key" in run.data.tags)
    assert new != earlier
    output = call.capsys.readouterr().out
    assert f"A new sweep. Not resumed: sweep-{earlier}, of other" in output


def test_the_champion_stays_until_the_rule_says_otherwise(trained: Project) -> None:
    output = trained.path.with_name("output").read_text(encoding="utf-8")
    assert f"Version {ENSEMBLE + 1} of {MODEL}: not promoted" in output
    assert champion_of(trained) == NETWORK


@pytest.mark.parametrize("version", [NETWORK, LINEAR, ENSEMBLE])
def test_a_registered_model_answers_as_it_was_evaluated(
    trained: Project, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(trained.path, monkeypatch)
    answering_as_evaluated(run_of(trained, version))


def test_runs_are_compared_with_a_new_one(standing: Project, call: Caller) -> None:
    for version in (NETWORK, LINEAR, ENSEMBLE):
        call(compare.main, "--a", run_of(standing, version), "--b", "workspace")
    reports = [*standing.path.glob("reports/*/comparison.json")]
    assert [files.read_json(report)["reviews"] for report in reports] == [200] * 3


def test_models_of_both_versions_are_an_ensemble(standing: Project, call: Caller) -> None:
    members = [run_of(standing, version) for version in (NETWORK, LINEAR, ENSEMBLE + 1)]
    printed = call(ensemble.main, "--json", "--runs", " ".join(members))
    assert list(json.loads(printed.splitlines()[-1])["weights"]) == members


def test_an_earlier_model_is_promoted_and_demoted(standing: Project, call: Caller) -> None:
    call(promote.main, "--run", run_of(standing, LINEAR))
    assert champion_of(standing) == LINEAR
    call(demote.main)
    assert champion_of(standing) == NETWORK


def test_sync_finds_the_run_of_what_the_earlier_version_wrote(
    mended: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Caller
) -> None:
    project = mended.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    assert f"Run {run_of(project, NETWORK)}: {NAME}" in call(sync.main)
    assert champion_of(project) == NETWORK
