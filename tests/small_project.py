"""A copy of the project for tests that run real commands in it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sentiment.project.files.paths import Project
from sentiment.tracking.address import DATABASE
from tests.stores import move_store

ROOT = Path(__file__).parents[1]
SMALL: dict[str, Any] = {
    "model": "lstm",
    # 256 to learn from, 64 to validate: with full batches alone fewer graphs are compiled
    "fetch": {"dataset": "synthetic", "synthetic": {"train_reviews": 320, "test_reviews": 200}},
    "lstm": {
        "num_words": 450,
        "max_length": 40,
        "cell": "simple_rnn",  # XLA does not compile it, which saves each process seconds
        "embedding_units": 4,
        "units": 4,
        "epochs": 2,
        "batch_size": 32,
        "min_steps": 0,
    },
}
MODEL = "synthetic-sentiment"  # registered model of the synthetic dataset


def merge_params(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested values with changes, which may be nested."""
    merged = dict(values)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge_params(merged[key], value) if both else value
    return merged


def change_params(path: Path, changes: dict[str, Any]) -> None:
    """Change values of a params file as a user would, by editing it."""
    yaml = YAML()
    document = yaml.load(path)
    yaml.dump(merge_params(document, changes), path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(url: str, seconds: float = 300) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def wait_until(holds: Callable[[], object], seconds: float = 300, pause: float = 0.02) -> None:
    """Wait until a condition holds, and check it after each pause.

    Raises:
        TimeoutError: it does not hold after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(pause)


def default_signals() -> None:
    """Restore the default signal handlers. The tests may run under nohup, which ignores SIGHUP."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class ProjectCopy:
    """A copy of the project with its own repository, where commands are run as a user does.

    Attributes:
        path: its root.
        environment: the environment of its commands.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {
            key: value
            for key, value in os.environ.items()
            # TF_CPP_MIN_LOG_LEVEL is set by the tests, but not by a user.
            if not key.startswith(("DVC_", "MLFLOW_", "GIT_", "TF_CPP_"))
        }
        self.environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    def copy(self, path: Path) -> "ProjectCopy":
        """Copy the project with its store to another path. The copy has the user's environment."""
        shutil.copytree(self.path, path, symlinks=True)
        if (path / DATABASE).exists():
            move_store(path / DATABASE, f"{self.path}/", f"{path}/")
        return ProjectCopy(path)

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command, whose output is read."""
        return self._start(command, environment, subprocess.STDOUT)

    def _start(
        self, command: tuple[str, ...], environment: Mapping[str, str], stderr: int
    ) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=default_signals,
            process_group=0,  # so that a signal can be sent to everything that it starts
        )

    def finish(
        self, command: tuple[str, ...], environment: Mapping[str, str], stderr: int
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        with self._start(command, environment, stderr) as process:
            try:
                printed = process.communicate(timeout=1800)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, *printed)

    def run(self, *command: str, **environment: str) -> str:
        """Run a command that must succeed and return what it printed."""
        done = self.finish(command, environment, subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def fail(self, *command: str, **environment: str) -> str:
        """Run a command that must fail and return what it printed."""
        done = self.finish(command, environment, subprocess.STDOUT)
        assert done.returncode != 0, done.stdout
        return done.stdout

    def read(self, *command: str) -> str:
        """Run a command that must succeed and return its standard output alone."""
        done = self.finish(command, {}, subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def change(self, **sections: Any) -> None:
        """Change params, by their sections."""
        change_params(self.path / "params.yaml", sections)

    def contents(self, folder: str) -> dict[str, bytes]:
        """Return the content of every file in a folder and its subfolders, by path."""
        paths = sorted((self.path / folder).rglob("*"))
        return {
            str(path.relative_to(self.path)): path.read_bytes() for path in paths if path.is_file()
        }

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state")


MakeProject = Callable[..., ProjectCopy]  # see the fixture `shared`


def make_repository(project: ProjectCopy) -> None:
    """Copy the files that commands need into a new repository, with small params."""
    names = [
        *("params.yaml", "dvc.yaml", "requirements.txt", "data"),
        *(".dvc", ".gitignore", ".dvcignore", "sentiment", "stages"),
    ]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (project.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project.path / name)
    project.change(**SMALL)
    project.run("git", "init", "--quiet")
    project.commit()
    project.run("git", "gc", "--quiet")  # few files are copied faster


def run_stages(project: ProjectCopy, *names: str, store: str = "") -> None:
    """Run stages in this process, all of them if no names are given. DVC is not told.

    Args:
        project: the project.
        names: the stages.
        store: URI of the tracking store, instead of the project's own.
    """
    from sentiment.backend import load_keras
    from stages import evaluate, fetch, pad, train

    stages = {"fetch": fetch, "pad": pad, "train": train, "evaluate": evaluate}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path)
        patch.setenv("MLFLOW_TRACKING_URI", store)  # MLflow sets it; the patch sets it back
        load_keras().utils.clear_session()  # otherwise the names of layers get numbers
        for name in names or stages:
            stages[name].main(Project.here())


def enter(project: ProjectCopy, monkeypatch: pytest.MonkeyPatch) -> ProjectCopy:
    """Make a project's root the working directory, and its store MLflow's."""
    import mlflow

    monkeypatch.chdir(project.path)
    uri = f"sqlite:///{project.path}/{DATABASE}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return project
