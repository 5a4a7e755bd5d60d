"""A team on a server: training, logging, sharing data and promoting, by user."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run, ViewType

from tests.conftest import Caller
from tests.extras.documented import documented
from tests.extras.team.history import history
from tests.extras.team.servers import (
    MARK,
    PAGE,
    Team,
    backends,
    documented_variables,
    password,
    run_documented,
    serving,
)
from tests.extras.test_listening import look
from tests.project import MODEL, Project
from tools import demote, promote, sync
from workflow import files, outputs
from workflow.params import load_params
from workflow.store import EXPERIMENT
from workflow.tracking import TRAINING_ID

pytestmark = pytest.mark.slow
RAN = "Running stage"
REPRO = ("python", "-m", "tools.repro")
SYNC = ("python", "-m", "tools.sync")


@pytest.fixture(scope="module")
def experiment_id(migrated: Any, server: Team) -> str:
    """The migrated experiment, which Alice and Bob may edit since."""
    assert migrated["equal"]
    path = f"2.0/mlflow/experiments/get-by-name?experiment_name={EXPERIMENT}"
    experiment = str(server.request("GET", path)["experiment"]["experiment_id"])
    for name in ("alice", "bob"):
        server.grant(name, "EDIT", experiment=experiment, registered_model=MODEL)
    return experiment


@pytest.fixture(scope="module")
def alice(
    experiment_id: str, laptop: Project, server: Team, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """The project on Alice's machine after a training of hers, which is committed.

    Her password is in the server's URL. During the training, another secret was in her DVC
    configuration. The file `output` next to the project has what the command printed.
    """
    assert experiment_id
    project = Project(tmp_path_factory.mktemp("alice") / "project")
    shutil.copytree(laptop.path, project.path, symlinks=True, ignore=lambda *_: ["mlflow.db"])
    host = server.url.removeprefix("http://")
    project.environment["MLFLOW_TRACKING_URI"] = f"http://alice:{password('alice')}@{host}"
    project.change(train={"seed": 7})
    project.run("dvc", "remote", "add", "own", f"https://me:{MARK}@data.example/")
    project.path.with_name("output").write_text(project.run("dvc", "repro"), encoding="utf-8")
    project.run("git", "checkout", "--", ".dvc/config")  # where the user wrote it
    project.commit()
    return project


@pytest.fixture
def client(server: Team, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """The administrator's client."""
    for name, value in {**server.user("admin"), "MLFLOW_HTTP_REQUEST_TIMEOUT": "300"}.items():
        monkeypatch.setenv(name, value)
    return mlflow.MlflowClient(server.url)


def find_run(project: Project, experiment_id: str, client: mlflow.MlflowClient) -> Run:
    """Return the run on the server that has the training in `data/`."""
    training_id = outputs.read_run_record(project.path / "data" / "train").training_id
    (run,) = client.search_runs([experiment_id], f"tags.`{TRAINING_ID}` = '{training_id}'")
    return run


@pytest.fixture
def alices_run(alice: Project, experiment_id: str, client: mlflow.MlflowClient) -> Run:
    return find_run(alice, experiment_id, client)


def test_training_is_logged_and_tested_against_the_migrated_champion(
    alice: Project, alices_run: Run, client: mlflow.MlflowClient
) -> None:
    assert alices_run.info.status == "FINISHED"
    assert alices_run.data.tags["mlflow.user"] == "alice"
    assert {"accuracy", "test_accuracy"} <= alices_run.data.metrics.keys()
    assert alices_run.info.artifact_uri.startswith("mlflow-artifacts:/")
    names = {item.path for item in client.list_artifacts(alices_run.info.run_id)}
    assert {"train", "evaluate", "versions"} <= names
    output = alice.path.with_name("output").read_text(encoding="utf-8")
    assert f"of {MODEL} is not promoted: not shown to be better than the champion" in output
    (version,) = client.search_model_versions(f"run_id = '{alices_run.info.run_id}'")
    assert version.tags["promote.reason"].endswith("(the champion: version 1)")


def test_user_who_may_edit_promotes_and_demotes_but_does_not_delete_the_alias(
    alice: Project, alices_run: Run, server: Team, client: mlflow.MlflowClient, call: Caller
) -> None:
    """MLflow counts it as deleting to take the alias away for good."""
    run_id = alices_run.info.run_id
    (version,) = client.search_model_versions(f"run_id = '{run_id}'")
    call.monkeypatch.chdir(alice.path)
    promoted = call.json(promote.main, "--run", run_id, **server.user("alice"))
    assert promoted["champion"] == str(version.version)
    assert call.json(demote.main)["champion"] == "1"
    assert "does not let alice do this" in call.fail(demote.main)
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["promote.decision"] == "champion"


def test_user_who_may_only_read_cannot_promote_and_is_told_so(
    alice: Project, alices_run: Run, server: Team, client: mlflow.MlflowClient, call: Caller
) -> None:
    call.monkeypatch.chdir(alice.path)
    run_id = alices_run.info.run_id
    message = call.fail(promote.main, "--run", run_id, **server.user("reader"))
    assert message.startswith(f"The MLflow server at {server.url} does not let reader do this.")
    assert client.get_model_version_by_alias(MODEL, "champion").version == "1"


def test_wrong_password_is_one_message(alice: Project, server: Team, call: Caller) -> None:
    call.monkeypatch.chdir(alice.path)
    for name, value in server.user("alice").items():
        call.monkeypatch.setenv(name, value)
    call.monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password("bob"))
    for main in (sync.main, demote.main):
        message = call.fail(main)
        assert message.startswith(
            f"The MLflow server at {server.url} rejected the user name or password."
        )


def test_server_listens_on_the_loopback_and_no_secret_leaves_the_environment(
    alice: Project, alices_run: Run, server: Team, tmp_path: Path, call: Caller
) -> None:
    """No secret is in arguments, on the laptop, in the server's databases or in its bucket."""
    seen = look(server.processes[-1])
    assert {*seen.addresses} == {"127.0.0.1"}
    assert [argument for argument in seen.arguments if MARK in argument] == []
    project = alice.copy(tmp_path / "project")
    project.environment = alice.environment
    output = alice.path.with_name("output").read_text(encoding="utf-8") + project.run(*SYNC)
    call.monkeypatch.chdir(project.path)
    output += call.fail(sync.main, MLFLOW_TRACKING_URI=f"http://b:{MARK}@127.0.0.1:1")
    assert MARK not in output
    assert "git.uncommitted_changes" in alices_run.data.tags
    shutil.rmtree(project.path / "tests")  # these contain it
    shutil.rmtree(project.path / ".git")
    written = project.contents(".")
    assert [name for name, content in written.items() if MARK.encode() in content] == []
    dump = b"".join(
        subprocess.run(
            ["pg_dump", "--data-only", database],
            env=server.backends.environment,
            capture_output=True,
            check=True,
        ).stdout
        for database in ("mlflow", "mlflow_auth")
    )
    assert alices_run.info.run_id.encode() in dump
    assert MARK.encode() not in dump
    objects = server.backends.objects()
    assert [key for key, content in objects.items() if MARK.encode() in content] == []


@pytest.fixture(scope="module")
def bob(alice: Project, server: Team, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Bob's clone of Alice's project after `make repro`. They share data as `PAGE` says.

    The file `output` next to the project has what the command printed.
    """
    folder = tmp_path_factory.mktemp("bob")
    hub = folder / "hub.git"
    project = Project(folder / "project")
    names = documented_variables("## The data")
    store = {name: server.backends.environment[name] for name in (*names, "PATH")}
    alice.environment |= store
    project.environment |= {**store, **server.user("bob")}
    alice.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(hub))
    alice.run("git", "branch", "--move", "main")
    alice.run("git", "remote", "add", "origin", str(hub))
    run_documented("Once, for everyone:", alice.path, alice.environment)
    alice.run("git", "push", "--set-upstream", "origin", "main")
    run_documented("After a training, commit, and share it:", alice.path, alice.environment)
    alice.run("git", "clone", "--quiet", str(hub), str(project.path))
    project.path.with_name("output").write_text(project.run(*REPRO), encoding="utf-8")
    return project


def test_second_user_gets_data_from_the_store_and_the_run_from_the_server(
    alice: Project, bob: Project, experiment_id: str, client: mlflow.MlflowClient
) -> None:
    output = bob.path.with_name("output").read_text(encoding="utf-8")
    assert "Outputs are pulled from the DVC remote shared if it has them." in output
    assert RAN not in output
    for folder in ("data/train", "data/evaluate", "data/pad"):
        assert bob.contents(folder) == alice.contents(folder)
    assert find_run(bob, experiment_id, client).data.tags["mlflow.user"] == "alice"
    assert not (bob.path / "mlflow.db").exists()


def test_conflict_in_dvc_lock_is_resolved_as_documented(
    alice: Project, bob: Project, experiment_id: str, client: mlflow.MlflowClient
) -> None:
    alice.change(evaluate={"threshold": 0.4})
    bob.change(evaluate={"mistakes": 3})
    for person in (alice, bob):
        assert f"{RAN} 'evaluate'" in person.run("dvc", "repro")
        person.commit()
    alice.run("git", "push")  # without `dvc push`: what the remote lacks is run
    assert "CONFLICT" in bob.fail("git", "pull", "--no-rebase")
    checkout, repro, *commit = documented(PAGE, "### A conflict in dvc.lock")
    assert repro == "make repro"
    bob.run("bash", "-ec", checkout)
    output = bob.run(*REPRO)
    assert f"{RAN} 'evaluate'" in output
    assert f"{RAN} 'train'" not in output
    bob.run("bash", "-ec", "\n".join(commit))
    run_documented("After a training, commit, and share it:", bob.path, bob.environment)

    alice.run("git", "pull", "--quiet")
    assert RAN not in alice.run(*REPRO)
    assert alice.contents("data/evaluate") == bob.contents("data/evaluate")
    params = load_params(alice.path / "params.yaml").evaluate
    assert (params.threshold, params.mistakes) == (0.4, 3)
    evaluated = files.read_json(alice.path / "data" / "evaluate" / "metrics.json")
    run = find_run(alice, experiment_id, client)
    assert run.data.metrics["test_accuracy"] == pytest.approx(evaluated["test_accuracy"])


@pytest.fixture(scope="module")
def restored(
    experiment_id: str, server: Team, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    """A second server, restored from a backup of the first one."""
    assert experiment_id
    with backends(tmp_path_factory.mktemp("restored")) as standing:
        run_documented("**Backup.**", standing.folder, server.backends.environment)
        run_documented("**Restore.**", standing.folder, standing.environment)
        with serving(standing) as second:
            yield second


def test_restored_server_has_the_same_history_files_and_users(
    restored: Team, server: Team, client: mlflow.MlflowClient
) -> None:
    assert history(mlflow.MlflowClient(restored.url)) == history(client)
    assert restored.backends.objects() == server.backends.objects()
    users = "2.0/mlflow/users/get?username=alice"
    assert restored.request("GET", users) == server.request("GET", users)


@pytest.mark.usefixtures("client")
def test_gc_removes_deleted_runs(restored: Team, experiment_id: str) -> None:
    def count(view: int) -> int:
        return len(mlflow.MlflowClient(restored.url).search_runs([experiment_id], "", view))

    active = count(ViewType.ACTIVE_ONLY)
    assert count(ViewType.DELETED_ONLY) > 0
    *exports, gc = documented(PAGE, "**Deleted runs**")
    assert len(exports) == 2
    environment = {**restored.backends.environment, **restored.user("admin")}
    subprocess.run(["bash", "-ec", gc], env=environment, check=True, cwd=restored.backends.folder)
    assert count(ViewType.DELETED_ONLY) == 0
    assert count(ViewType.ACTIVE_ONLY) == active
