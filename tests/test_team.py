"""A team shares runs and data by the commands of docs/team.md, as they stand there."""

import re
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sentiment.project.files.documents import read_json
from tests.services import QUIET, kill, postgres, start_server
from tests.small_project import MODEL, ROOT, ProjectCopy, free_port, wait_for

pytestmark = pytest.mark.slow
PAGE = ROOT / "docs" / "team.md"
ADDRESS = "127.0.0.1:5000"  # of the server
# `sentiment` is the code of the project's copy, and the tests' environment is built already.
PRELUDE = 'sentiment() { python -m sentiment "$@"; }; make() { :; }'


def block(text: str) -> str:
    """Return the first block of code after a text of the page."""
    _, found, after = PAGE.read_text(encoding="utf-8").partition(text)
    assert found, text
    code = re.search(r"(?:^ {4}.*\n|^\n(?= {4}))+", after, re.MULTILINE)
    assert code, text
    return textwrap.dedent(code[0])


def run(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Run commands in bash, which must succeed, and return what they printed."""
    done = subprocess.run(
        ["bash", "-ec", f"{PRELUDE}\n{script}"],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start the page's server, and yield the environment of its machine."""
    port = str(free_port())
    with postgres() as database:
        environment = {
            **ProjectCopy(tmp_path).environment,
            **QUIET,
            "HOME": str(tmp_path),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(urlsplit(database).port),
            "PGUSER": "test",
            "MLFLOW_PORT": port,
        }
        process = start_server(
            tmp_path, "bash", "-ec", block("## Run a server for the team"), **environment
        )
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            yield environment
        finally:
            kill(process)


def user(name: str, server: Mapping[str, str], password: str) -> dict[str, str]:
    """Return the variables of a user's machine."""
    return {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server['MLFLOW_PORT']}",
        "MLFLOW_TRACKING_USERNAME": name,
        "MLFLOW_TRACKING_PASSWORD": password,
    }


def share(project: ProjectCopy, hub: Path, remote: Path) -> None:
    """Share a training by git and DVC."""
    project.run("git", "init", "--quiet", "--bare", str(hub))
    project.run("git", "remote", "add", "origin", str(hub))
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "HEAD")
    project.run("dvc", "commit", "--force", "--quiet")
    project.commit()
    run(
        block("## Share the data").replace("/srv/dvc", str(remote)),
        project.path,
        project.environment,
    )
    run(block("Then push data and commit:"), project.path, project.environment)


def test_second_user_pulls_the_data_and_logs_to_the_server(
    finished_once: ProjectCopy,
    server: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow import MlflowClient

    create_users = block("**Add users.**").replace(ADDRESS, f"127.0.0.1:{server['MLFLOW_PORT']}")
    passwords = dict(re.findall(r"^(alice|bob) (\S+)$", run(create_users, tmp_path, server), re.M))
    assert passwords.keys() == {"alice", "bob"}
    alice = finished_once.copy(tmp_path / "alice")
    share(alice, tmp_path / "hub", tmp_path / "dvc")

    bob = ProjectCopy(tmp_path / "imdb-sentiment")
    variables = user("bob", server, passwords["bob"])
    bob.environment |= variables
    clone = block("model without training:").replace("source .venv/bin/activate\n", "")
    clone = clone.replace("<URL of your repository>", str(tmp_path / "hub"))
    printed = run(clone, tmp_path, bob.environment)
    assert "Test Accuracy: 0." in printed
    assert "tive, probability " in printed
    assert not re.search("oneDNN|cuda|tensorflow", printed)
    assert bob.contents("data") == alice.contents("data")

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = MlflowClient(variables["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name(MODEL)
    assert experiment is not None
    assert experiment.artifact_location == f"mlflow-artifacts:/{experiment.experiment_id}"
    assert not (bob.path / "mlruns").exists()
    (logged,) = client.search_runs([experiment.experiment_id])
    original = read_json(alice.path / "data" / "run.json")["run_id"]
    assert logged.data.tags["original_run"] == original
    assert "predictions.csv" in {each.path for each in client.list_artifacts(logged.info.run_id)}
