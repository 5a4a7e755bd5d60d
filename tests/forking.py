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
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache, partial
from io import BytesIO
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import configure_mappers
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
LIBRARIES = """
    mlflow.pyfunc.scoring_server mlflow.tensorflow mlflow.models.display_utils alembic.command
    mlflow.store.tracking.sqlalchemy_workspace_store
    mlflow.store.model_registry.sqlalchemy_workspace_store
    matplotlib.pyplot sklearn.metrics sklearn.feature_extraction.text sklearn.linear_model
    pyarrow pandas pooch ruamel.yaml filelock git dvc.cli.parser dvc.repo.reproduce dvc.fs
    uvicorn fastapi mlflow.cli mlflow.server.handlers
""".split()
# what starts others before it has connected to a store
PARENTS = ("dvc", "tools.repro", "tools.verify")
DVC = ("add", "commit", "exp", "init", "metrics", "params", "plots", "repro", "status")
# what has workers of its own, or is not in the project's folder, starts as a user starts it
ALONE = ("dask", "extras.score", "extras.sweep", "extras.team.server")
_may_fork = True
_asking = threading.Lock()


class Started(subprocess.Popen[Any]):
    """A process of a command that `module` knows; the server forks it and waits for it."""

    def _execute_child(self, args: Any, *options: Any) -> None:
        """Let the server start it in `cwd`, with `env` and these standard streams."""
        streams = [options[9], options[12], options[14]]  # -1 for one of this process
        with _asking:
            _server().send((args, {"cwd": options[4], "env": options[5]}))
            for standard, own in enumerate(streams):
                send_handle(_server(), standard if own == -1 else own, 0)
            self.pid = _server().recv()
        self._close_pipe_fds(*options[9:15])  # type: ignore[attr-defined]

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            with _asking:
                _server().send(self.pid)
                self.returncode = _server().recv()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (status := self._internal_poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(0.01)
        return status


@cache
def _server() -> "Connection[Any, Any]":
    """The process that has the libraries, which ends with this one."""
    ours, theirs = Pipe()
    command = [sys.executable, __file__, str(theirs.fileno())]
    subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT)
    theirs.close()
    return ours


def serve(requests: "Connection[Any, Any]") -> None:
    """Start commands, and say of which the status is asked whether and how it ended."""
    for number in (signal.SIGINT, signal.SIGHUP):  # nohup, say, ignores a terminal's signals
        signal.signal(number, signal.SIG_DFL)
    preload()
    subprocess.Popen = Popen  # type: ignore[misc]
    processes: dict[int, subprocess.Popen[Any]] = {}
    while True:
        try:
            request = requests.recv()
        except EOFError:
            return
        if isinstance(request, int):
            requests.send(processes[request].poll())
            continue
        command, options = request
        streams = {name: recv_handle(requests) for name in ("stdin", "stdout", "stderr")}
        process = Popen(command, **streams, **options)
        for stream in streams.values():
            os.close(stream)
        processes[process.pid] = process
        requests.send(process.pid)


def preload() -> None:
    """Import the libraries, Keras as the stages do, and forget the project's own modules."""
    sys.path[0] = str(ROOT)
    importlib.import_module("workflow.commands").quiet_libraries()
    importlib.import_module("sentiment.backend").load_keras()
    for name in LIBRARIES:
        importlib.import_module(name)
    # what they keep: mappers of the store's tables, a table of all packages, fonts
    configure_mappers()
    importlib.import_module("mlflow.utils.requirements_utils")._init_packages_to_modules_map()
    importlib.import_module("matplotlib.figure").Figure().subplots().figure.savefig(BytesIO())
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
        case ["mlflow", *arguments]:
            return ["mlflow", *arguments]
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
    tempfile.tempdir = None  # TMPDIR says
    for name in ("keras", "mlflow.server"):  # its parts stay, but it reads the environment
        sys.modules.pop(name, None)
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
