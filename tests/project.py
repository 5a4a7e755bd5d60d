"""A copy of the project for tests that run real commands in it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
DEFAULT_PARAMS = ROOT / "presets" / "default.yaml"  # users change params.yaml
EPOCHS = 30  # a small training that is long enough to be interrupted three times
SMALL: dict[str, Any] = {
    "fetch": {
        "dataset": "synthetic",
        # 256 to learn from, 64 to validate: with full batches alone fewer graphs are compiled
        "synthetic": {"train_reviews": 320, "test_reviews": 200, "vocab_size": 300},
    },
    "pad": {"num_words": 350, "max_length": 40},
    "train": {"embedding_units": 4, "units": 4, "epochs": 2, "batch_size": 32},
    "evaluate": {"length_buckets": [40, 60], "mistakes": 5},
}
TRANSFORMER: dict[str, Any] = {  # what makes one of the network of these params
    "architecture": "transformer",
    "heads": 2,
    "mask_padding": True,
}
MODEL = "synthetic-sentiment"  # registered model of the synthetic set
# Environment of an MLflow server with one process.
QUIET = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def merge_changes(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `document` with changes, which may be nested."""
    result = dict(document)
    for key, value in changes.items():
        is_nested = isinstance(value, Mapping) and isinstance(result.get(key), dict)
        result[key] = merge_changes(result[key], value) if is_nested else value
    return result


def change_params(path: Path, changes: Mapping[str, Any]) -> None:
    """Change values of a params file as a user would, by editing it."""
    yaml = YAML()
    document = yaml.load(path)
    yaml.dump(merge_changes(document, changes), path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for(url: str, seconds: float = 300) -> None:
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


def run_code(code: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run code in a new Python process with the default signal handlers."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
        preexec_fn=default_signals,
    )


class Project:
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
            if not key.startswith(("DVC_", "MLFLOW_", "GIT_"))
        }
        self.environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    @property
    def run_id(self) -> str:
        """The id of the run that made `data/`."""
        import mlflow  # takes seconds

        record = json.loads((self.path / "data/train/run.json").read_bytes())
        filter_string = f"tags.`training.id` = '{record['training_id']}'"
        store = mlflow.MlflowClient(f"sqlite:///{self.path}/mlflow.db")
        (run,) = store.search_runs(["1"], filter_string)
        return str(run.info.run_id)

    def copy(self, path: Path) -> "Project":
        """Copy the project to another path. The copy has the user's environment."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path)

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        return self.begin(command, environment, subprocess.STDOUT)

    def begin(
        self, command: Sequence[str], environment: Mapping[str, str], stderr: int
    ) -> "subprocess.Popen[str]":
        """Start a command whose standard output is read."""
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
        self, command: Sequence[str], environment: Mapping[str, str], stderr: int
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        with self.begin(command, environment, stderr) as process:
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
        files = sorted((self.path / folder).rglob("*"))
        return {
            str(file.relative_to(self.path)): file.read_bytes() for file in files if file.is_file()
        }

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state")
