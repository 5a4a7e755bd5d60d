"""Commands as forks of a process that has imported the libraries, which takes most of their time.

Such a command is a process of its own, in its folder and with its environment, which imports the
project's code there. DVC that starts in this way starts its stages so, too.
"""

import atexit
import gc
import importlib
import os
import random
import runpy
import shlex
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from functools import cache, partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
LIBRARIES = """
    mlflow.pyfunc.scoring_server mlflow.tensorflow mlflow.models.display_utils alembic.command
    mlflow.store.tracking.sqlalchemy_workspace_store
    mlflow.store.model_registry.sqlalchemy_workspace_store
    matplotlib.pyplot sklearn.metrics sklearn.feature_extraction.text sklearn.linear_model
    pyarrow pandas pooch ruamel.yaml filelock git dvc.cli.parser dvc.repo.reproduce dvc.fs
""".split()
# what starts others before it has connected to a store
PARENTS = ("dvc", "tools.repro", "tools.verify")
DVC = ("add", "commit", "exp", "init", "metrics", "params", "plots", "repro", "status")
# what has threads, workers or daemons of its own starts as a user starts it
ALONE = ("dask", "extras.demo", "tools.serve", "extras.team.server", "extras.sweep", "tools.ui")
_may_fork = True


def run(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run`; the command is one that `module` knows."""
    server = _server()
    server.send((command, options))
    done: subprocess.CompletedProcess[str] | subprocess.TimeoutExpired = server.recv()
    if isinstance(done, subprocess.TimeoutExpired):
        raise done
    return done


@cache
def _server() -> "Connection[Any, Any]":
    """The process that has the libraries, which ends with this one."""
    ours, theirs = Pipe()
    command = [sys.executable, __file__, str(theirs.fileno())]
    subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
    theirs.close()
    return ours


def serve(requests: "Connection[Any, Any]") -> None:
    """Run commands that are asked for, one after the other."""
    for number in (signal.SIGINT, signal.SIGHUP):  # nohup, say, ignores a terminal's signals
        signal.signal(number, signal.SIG_DFL)
    preload()
    subprocess.Popen = Popen  # type: ignore[misc]
    while True:
        try:
            command, options = requests.recv()
        except EOFError:
            return
        try:
            done: Any = subprocess.run(command, check=False, **options)
        except subprocess.TimeoutExpired as expired:
            done = expired
        requests.send(done)


def preload() -> None:
    """Import the libraries, Keras as the stages do, and forget the project's own modules."""
    sys.path[0] = str(ROOT)
    importlib.import_module("workflow.ending").quiet_libraries()
    importlib.import_module("sentiment.backend").load_keras()
    for name in LIBRARIES:
        importlib.import_module(name)
    tqdm.monitor_interval = 0  # no thread: a process that has some is not forked
    forget_project()
    gc.freeze()


def forget_project() -> None:
    """Forget the modules that are not libraries': a command has its own."""
    for name, module in [*sys.modules.items()]:
        file = Path(getattr(module, "__file__", None) or "/")
        if file.is_relative_to(sys.path[0]) and not file.is_relative_to(sys.prefix):
            del sys.modules[name]


class Popen(subprocess.Popen[Any]):
    """A process that is forked only, with no `exec`, where it is to run one of Python's modules."""

    def __init__(self, args: Any, *positional: Any, **options: Any) -> None:
        running = module(args) if _may_fork and not options.keys() & {"pass_fds"} else []
        if running and threading.active_count() == 1:
            sys.stdout.flush()
            sys.stderr.flush()
            options["preexec_fn"] = partial(become, running, options.get("env"))
        super().__init__(args, *positional, **options)


def module(command: Any) -> list[str]:
    """The module that a command runs, and its arguments; nothing if it runs something else."""
    match command:
        case [_, *_, "-c", str(script)] if script.startswith("exec python "):  # as DVC starts one
            return module(shlex.split(script)[1:])
        case ["python" | sys.executable, "-m", name, *arguments] if name not in ALONE:
            return [name, *arguments]
        case ["dvc", name, *arguments] if name in DVC:
            return ["dvc", name, *arguments]
    return []


def become(command: Sequence[str], environment: Mapping[str, str] | None) -> None:
    """Run a module in this process, a new fork, as `python -m` does; it never returns."""
    global _may_fork
    _may_fork = command[0] in PARENTS
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # as Python does when it starts
        signal.signal(number, signal.SIG_IGN)
    random.seed()
    np.random.seed()
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
    sys.modules.pop("keras", None)  # its parts stay: the project sets flags when it imports it
    forget_project()
    sys.path[0] = str(Path.cwd())
    sys.argv = [*command]
    atexit._clear()
    status = 1
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        status = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException:
        status = status or 120  # as Python's
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
