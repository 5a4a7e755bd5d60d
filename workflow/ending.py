"""How a stage and a command end: on a signal, with the DVC that runs it, with one clear message.

Texts of others in a message do nothing: a control character can clear a terminal, and a mark of
direction can turn around what follows it (Boucher and Anderson 2021, Trojan Source).
"""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sentiment.errors import UserError, redacted
from workflow import signals

if TYPE_CHECKING:
    from dvc.output import Output

WATCH_SECONDS = 0.5
# control characters but tab and line feed, and marks of direction
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
UNWRITTEN = re.compile(r"\d+ requested and \d+ written")  # all that NumPy says of a full disk


def run_stage(stage: str, main: Callable[[], None]) -> None:
    """Run a stage's `main`; a failure ends the process with one message and a non-zero status.

    What DVC removed before it started the stage is put back when the stage fails.
    """
    with one_message(stage, "`dvc repro`", lambda: restore(stage)):
        end_with_dvc()
        quiet_libraries()
        main()


@contextmanager
def one_message(name: str, again: str, clean_up: Callable[[], str] = lambda: "") -> Iterator[None]:
    """End the process with one message where the block fails, and with its status on a signal.

    A signal is raised also at the end of the block: DVC ignores SIGINT and would go on. After a
    failure, `clean_up` is called; what it returns ends the message.
    """
    try:
        with signals.raising():
            yield
    except BaseException as error:
        rest = clean_up()
        if isinstance(error, signals.Interrupted):
            print(f"{name}: {error}{rest}", file=sys.stderr)
            raise
        message = explain(error, again)
        if message is None:
            raise
        sys.exit(f"{name}: {message}{rest}")


def end_with_dvc() -> None:
    """End the stage, as a signal would, when the DVC that runs it is gone.

    DVC that is killed leaves its stage behind, and the next `dvc repro` would start another one.
    `exec` in `dvc.yaml` makes the stage DVC's direct child, in DVC's process group; a parent of
    another group has taken the stage in, since DVC was killed before this could look.
    """
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()
    orphan = os.getpgid(parent) != os.getpgrp()

    def watch() -> None:
        while not orphan and os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        if not signals.has_come():  # else DVC got the same signal, which is no second one
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def quiet_libraries() -> None:
    """Quiet what TensorFlow and MLflow would print or send on their own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def restore(stage: str) -> str:
    """Put a stage's outputs of the last good run back in place; say how, where that failed.

    DVC removes a stage's outputs before it runs the command, so a command that fails,
    over a wrong parameter say, would leave the user with less than before.
    """
    if os.environ.get("DVC_STAGE") != stage:
        return ""
    problems = []
    try:
        from dvc.repo import Repo

        with Repo() as repo:
            for out in repo.stage.load_one(name=stage).outs:
                if not out.exists and (problem := _put_back(out)):
                    problems.append(f"{out}: {problem}")
    except Exception as error:  # why the stage failed has to be said, whatever this is
        problems.append(str(error))
    if not problems:
        return ""
    return (
        f"\nThe outputs of the last good run were not all put back: {'; '.join(problems)}\n"
        f"`dvc repro {stage}` with the former params and code brings them back."
    )


def _put_back(out: "Output") -> str:
    """Put one output back; return what stood in the way, if anything did.

    `dvc checkout` passes over outputs with `cache: false`, of which DVC's run cache has copies all
    the same. Where it has none, in a fresh clone or after `dvc pull`, git has the committed ones.
    """
    from dvc.exceptions import CheckoutError

    tracked_by_git, out.use_cache = not out.use_cache, True
    try:
        if not out.changed_cache() and tracked_by_git:  # never a link, as DVC may make
            shutil.copyfile(out.cache.oid_to_path(out.hash_info.value), out.fs_path)
        elif not out.changed_cache():
            out.checkout()
        elif tracked_by_git:
            command = ["git", "checkout-index", "--quiet", "--", out.def_path]
            subprocess.run(command, capture_output=True, check=False)
            if out.exists and out.changed_checksum():  # it is of another run
                Path(out.fs_path).unlink()
    except (CheckoutError, OSError) as error:
        return str(error)
    return ""


def escape(text: str) -> str:
    """The text, as long as before, with U+FFFD for control characters and marks of direction."""
    return UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def explain(error: BaseException, again: str = "`dvc repro`") -> str | None:
    """Say in words what `error` means to a user, or None where only a traceback would help.

    `again` is the command to run again once it is fixed. Passwords and queries of addresses are
    left out, and control characters are replaced.
    """
    if isinstance(error, UserError):
        message = str(error)
    elif not isinstance(error, OSError):
        return None
    elif UNWRITTEN.search(str(error)):
        message = f"No space left on device ({error}). Free some space and run {again} again."
    else:  # one without a file is from a library, which may say more in its text
        place = "" if error.filename is None else f"{error.filename}: "
        advice = "Free some space" if error.errno == errno.ENOSPC else "Fix that"
        message = f"{place}{error.strerror or error}. {advice} and run {again} again."
    return escape(redacted(message))
