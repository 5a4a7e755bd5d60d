"""The newcomer's command: `dvc repro`, and on the synthetic set where IMDB cannot be had.

What DVC restored from its cache, or a store did not take, is told to the store afterwards.
"""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from ruamel.yaml import YAML

from stages import files
from stages.command import UserError, explain, tool
from stages.fetch import FOLDER, Unreachable, obtain
from stages.params import PARAMS_FILE, Params, load_params
from tools import sync

RWLOCK = Path(".dvc", "tmp", "rwlock")
MOMENT = 1.0  # seconds
HERE = Path()
RULE = "#" * 78
SYNTHETIC = f"""
{RULE}
##  SYNTHETIC DATA (fetch.dataset in params.yaml): the figures are NOT IMDB's.
{RULE}
"""
FALLBACK = """
IMDB could not be had, see above, so this goes on with the synthetic set:
params.yaml now says fetch.dataset: synthetic. Set it back to imdb and run
`make repro` again once the files can be had.
"""
Environment = Mapping[str, str] | None  # None: that of this process


def main() -> int:
    """Run the pipeline; return DVC's exit status."""
    params = load_params()
    announce(params)
    status = dvc_repro()
    if status and not_fetched(params):
        params = obtain_or_fall_back(params)
        status = dvc_repro()
    if not status:
        tell_the_store()
    announce(params)
    return status


def tell_the_store() -> None:
    """Let the store tell what `data/` holds; one that fails makes no failure of a good pipeline."""
    try:
        sync.main()
    except (UserError, OSError) as error:
        print(explain(error, "`make sync`"))
        print(f"The files in {files.DATA} are whole: run `make sync` once it works.")


def dvc_repro() -> int:
    """Run `dvc repro` and return its exit status."""
    return run_dvc("repro")


def run_dvc(*arguments: str, folder: Path = HERE, environment: Environment = None) -> int:
    """Run a DVC command that runs stages, in a process group of its own; return its exit status.

    A signal to this process goes to the whole group, the stage included, and is waited for:
    DVC by itself leaves a stage behind when it is terminated.

    Args:
        arguments: the command.
        folder: the repository, if it is not the working directory.
        environment: its variables, if they are not this process's.
    """
    mend_dvc(folder / RWLOCK)
    command = [sys.executable, "-m", "dvc", *arguments]
    process = subprocess.Popen(command, cwd=folder, env=environment, process_group=0)
    with forwarding(process.pid) as received:
        status = process.wait()
    if received:
        wait_for_group(process.pid)
        sys.exit(128 + received[0])
    return status


@contextmanager
def forwarding(group: int) -> Iterator[list[int]]:
    """Pass the signals that end this process on to a process group; yield those received."""
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        with suppress(ProcessLookupError):
            os.killpg(group, number)

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    heeded = [n for n, handler in before.items() if handler is not signal.SIG_IGN]  # as nohup wants
    for number in heeded:
        signal.signal(number, forward)
    yield received
    for number in heeded:
        signal.signal(number, before[number])


def mend_dvc(lock: Path) -> None:
    """Remove a lock file that DVC was killed over while it wrote it, and refuses to start over."""
    if is_damaged(lock):
        time.sleep(MOMENT)  # another DVC may just be writing it
        if is_damaged(lock):
            lock.unlink(missing_ok=True)


def is_damaged(file: Path) -> bool:
    """Whether a file is there and holds no JSON."""
    try:
        json.loads(file.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False


def wait_for_group(group: int) -> None:
    """Wait until no process of a group is left."""
    with suppress(ProcessLookupError):
        while True:
            os.killpg(group, 0)
            time.sleep(0.1)


def announce(params: Params) -> None:
    """Say loudly when the figures are not IMDB's."""
    if params.fetch.dataset == "synthetic":
        print(SYNTHETIC, flush=True)


def not_fetched(params: Params) -> bool:
    """Whether IMDB is wanted and `fetch` has not got it."""
    try:
        fetched = files.read_about(FOLDER)["params"]["fetch.dataset"]
    except UserError:
        fetched = None
    return params.fetch.dataset == "imdb" and fetched != "imdb"


def obtain_or_fall_back(params: Params) -> Params:
    """Try once more to get IMDB, and set the synthetic set in its place if it is out of reach."""
    try:
        obtain(params.fetch)
    except Unreachable:
        set_dataset(PARAMS_FILE, "synthetic")
        print(FALLBACK, flush=True)
        params = load_params()
        announce(params)
    return params


def set_dataset(path: Path, dataset: str) -> None:
    """Set `fetch.dataset` in a params file, keeping comments and layout."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = yaml.load(path)
    document["fetch"]["dataset"] = dataset
    text = io.StringIO()
    yaml.dump(document, text)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    tool("make repro", main)
