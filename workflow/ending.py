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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sentiment.errors import UserError, redacted
from workflow import signals

if TYPE_CHECKING:
    from dvc.output import Output

WATCH_SECONDS = 0.5
DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
REPLACEMENT = 0xFFFD
PICTURES = 0x2400  # the picture of control character c is at PICTURES + c
KEPT = "\t\n"
SHOWN = {
    **dict.fromkeys([*range(0x80, 0xA0), *DIRECTIONS], REPLACEMENT),
    **{code: PICTURES + code for code in range(0x20) if chr(code) not in KEPT},
    0x7F: 0x2421,
}
UNWRITTEN = re.compile(r"\d+ requested and \d+ written")  # all that NumPy says of a full disk


def run_stage(stage: str, main: Callable[[], None]) -> None:
    """Run a stage's `main`; a failure ends the process with one message and a non-zero status.

    What DVC removed before it started the stage is put back when the stage fails.
    """
    try:
        with signals.raising():  # also at its end: DVC ignores SIGINT and would go on
            end_with_dvc()
            quiet_libraries()
            main()
    except BaseException as error:
        lost = restore(stage)
        if isinstance(error, signals.Interrupted):
            print(f"{stage}: {error}{lost}", file=sys.stderr)
            raise
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"{stage}: {message}{lost}")


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
    try:
        lost = put_back(stage)
    except Exception as error:  # why the stage failed has to be said, whatever this is
        return f"\nThe outputs of the last good run were not put back: {error}"
    if not lost:
        return ""
    return (
        f"\nNot put back: {', '.join(lost)}. DVC's cache has them: "
        f"`dvc repro {stage}` with the former params and code brings them back."
    )


def put_back(stage: str) -> list[str]:
    """Put back the outputs of a stage's last good run that are missing, from DVC's cache or git.

    Returns:
        The outputs that are still missing though DVC's cache has them.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        missing = [out for out in repo.stage.load_one(name=stage).outs if not out.exists]
        for out in missing:
            _put_back(out)
        return [str(out) for out in missing if not out.exists and not out.changed_cache()]


def _put_back(out: "Output") -> None:
    """Put one output back.

    `dvc checkout` passes over outputs with `cache: false`, of which DVC's run cache has copies all
    the same. Where it has none, in a fresh clone or after `dvc pull`, git has the committed ones.
    """
    from dvc.exceptions import CheckoutError

    tracked_by_git, out.use_cache = not out.use_cache, True
    with suppress(CheckoutError, OSError):
        if not out.changed_cache():
            if tracked_by_git:  # never a link, whatever DVC is configured to make
                shutil.copyfile(out.cache.oid_to_path(out.hash_info.value), out.fs_path)
            else:
                out.checkout()
        elif tracked_by_git:
            command = ["git", "checkout-index", "--quiet", "--", out.def_path]
            subprocess.run(command, capture_output=True, check=False)
            if out.exists and out.changed_checksum():  # it is of another run
                Path(out.fs_path).unlink()


def escape(text: str) -> str:
    """The text with a picture for each control character and each mark of direction.

    Tabs and line feeds stay; the text is as long as before.
    """
    return text.translate(SHOWN)


def explain(error: BaseException, again: str = "`dvc repro`") -> str | None:
    """Say in words what `error` means to a user, or None where only a traceback would help.

    Passwords and queries of addresses are left out, and control characters are shown.

    Args:
        error: what was raised.
        again: the command to run again once it is fixed.
    """
    said = _said(error, again)
    return escape(redacted(said)) if said else None


def _said(error: BaseException, again: str) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and UNWRITTEN.search(str(error)):
        return f"No space left on device ({error}). Free some space and run {again} again."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}. {_advice(error, again)}"
    if isinstance(error, OSError):  # from a library, which says more in its text
        return f"{error.strerror or error}. {_advice(error, again)}"
    return None


def _advice(error: OSError, again: str) -> str:
    if error.errno == errno.ENOSPC:
        return f"Free some space and run {again} again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Give yourself the right to use it and run {again} again."
    if error.errno == errno.ENOENT and "data" in Path(str(error.filename)).parts:
        return "Run `dvc repro`, which makes what is missing."
    return f"Fix that and run {again} again."
