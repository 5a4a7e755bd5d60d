"""A project at an earlier version is upgraded to this code: docs/upgrading.md."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from ruamel.yaml import YAML

from extras.compare import __main__ as compare
from extras.ensemble import __main__ as ensemble
from tests.conftest import Caller, Sharer, copy_files, curve, own_copy
from tests.extras.conftest import SWEEP_SETTINGS, answering_as_evaluated
from tests.project import EPOCHS, EXTRAS, MODEL, ROOT, SMALL, Project, change_params, until
from tests.services import kill
from tools import demote, promote, sync
from workflow import files
from workflow.params import MOVED

EARLIER = "8f200fd"  # commit: what users may upgrade from
# runs of the earlier version, by the numbers of their versions of the registered model
NETWORK, LINEAR, ENSEMBLE = 1, 2, 3
NAME = "lstm-4 · len 40 · seed 42 · synthetic"


def start_and_kill(project: Project, begun: Callable[[], object], *command: str) -> None:
    """Start a command, and kill it with its children once it has begun."""
    process = project.start(*command)
    until(lambda: process.poll() is not None or begun())
    assert process.poll() is None, process.communicate()
    kill(process)
    process.communicate(timeout=300)


@pytest.fixture(scope="session")
def upgraded(shared: Sharer) -> Project:
    """A project whose code was replaced amid its work; its user's files are as they were.

    It has a champion, a linear model, an ensemble, a killed training and an open sweep.
    """

    def use_and_upgrade(project: Project) -> None:
        kept = ("--", ".", ":(exclude)*dvc.lock", ":(exclude)data/*/*")
        command = ("git", "archive", EARLIER, *kept)
        archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        if archive.returncode:
            pytest.skip(f"commit {EARLIER} is not here: `git fetch --unshallow`")
        project.path.mkdir(parents=True)
        subprocess.run(["tar", "--extract"], cwd=project.path, input=archive.stdout, check=True)
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
        epoch, locked = "*/epoch-*[!1]", "*/process"  # the second one locked is a trial
        train = ("python", "-m", "stages.train")
        start_and_kill(project, lambda: [*checkpoints.glob(epoch)], *train)
        search = ("python", "-m", "tools.sweep", "--trials", "2", "--workers", "1")
        start_and_kill(project, lambda: len([*checkpoints.glob(locked)]) == 2, *search)
        users = [":(exclude)params.yaml", ":(exclude)*dvc.lock", ":(exclude)data"]
        params = (project.path / "params.yaml").read_bytes()
        project.run("git", "rm", "-r", "--quiet", "--", ".", *users)
        copy_files(project)
        (project.path / "params.yaml").write_bytes(params)
        project.commit()

    return shared("upgraded", use_and_upgrade)


@pytest.fixture(scope="session")
def trained(upgraded: Project, shared: Sharer) -> Project:
    """The project after its user did with params.yaml what the message says, and `dvc repro`.

    What that printed is in `output` beside it, and the copy `mended` is of before.
    """

    def mend_and_train(project: Project) -> None:
        yaml, path = YAML(), project.path / "params.yaml"
        params = yaml.load(path)
        params["fetch"]["add"] = "data/none.csv"
        params["train"] |= {"architecture": "recurrent", "heads": 0}
        params["train"]["wide"] = yaml.load(ROOT / "presets/notebook.yaml")["train"]["wide"]
        removed = {name: params.pop(name) for name in MOVED if name in params}
        yaml.dump(params, path)
        for name, file in EXTRAS.items():
            yaml.dump(removed[name], project.path / "extras" / file)
        project.commit()
        project.copy(project.path.with_name("mended"))
        output = project.run("dvc", "repro")
        project.path.with_name("output").write_text(output, encoding="utf-8")

    return shared("trained", mend_and_train, upgraded.path)


@pytest.fixture
def standing(trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project of one's own, which is the working directory."""
    return own_copy(trained, tmp_path, monkeypatch)


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
    output = project.fail("python", "-m", "tools.repro")
    for key, place in MOVED.items():
        assert re.search(rf"{re.escape(key)}: .*{re.escape(place)}", output), key
    assert project.contents("data") == upgraded.contents("data")


def test_the_killed_training_begins_anew_with_the_curve_that_it_had_so_far(
    standing: Project, trained: Project
) -> None:
    """Its checkpoints stay, and so does the champion."""
    output = trained.path.with_name("output").read_text(encoding="utf-8")
    assert [*standing.path.glob(".checkpoints/*/epoch-*")]
    assert "Resuming" not in output
    assert f"Version {ENSEMBLE + 1} of {MODEL}: not promoted" in output
    assert champion_of(standing) == NETWORK
    client = mlflow.MlflowClient()
    same = f"attributes.run_name = '{NAME}' AND params.`train.epochs` = '{EPOCHS}'"
    killed, new = client.search_runs(["1"], same, order_by=["attributes.start_time"])
    assert killed.info.status == "KILLED"
    earlier, again = (curve(run.info.run_id) for run in (killed, new))
    assert earlier
    assert earlier == again[: len(earlier)]


def test_earlier_models_answer_as_evaluated_and_are_compared_joined_promoted_and_demoted(
    standing: Project, call: Caller
) -> None:
    for version in (NETWORK, LINEAR, ENSEMBLE):
        answering_as_evaluated(run_of(standing, version))
    call(compare.main, "--a", run_of(standing, LINEAR), "--b", "workspace")
    (report,) = standing.path.glob("reports/*/comparison.json")
    assert files.read_json(report)["reviews"] == 200
    members = [run_of(standing, version) for version in (NETWORK, LINEAR, ENSEMBLE + 1)]
    assert [*call.json(ensemble.main, "--runs", " ".join(members))["weights"]] == members
    call(promote.main, "--run", run_of(standing, LINEAR))
    assert champion_of(standing) == LINEAR
    call(demote.main)
    assert champion_of(standing) == NETWORK


def test_sync_finds_the_run_of_what_the_earlier_version_wrote(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Caller
) -> None:
    project = own_copy(Project(trained.path.with_name("mended")), tmp_path, monkeypatch)
    assert f"Run {run_of(project, NETWORK)}: {NAME}" in call(sync.main)
    assert champion_of(project) == NETWORK
