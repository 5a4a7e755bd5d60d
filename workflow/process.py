"""How a stage and a command end: on a signal, with the DVC that runs it, with one clear message."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from workflow import pipeline, signals
from workflow.messages import explain

WATCH_SECONDS = 0.5


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
        lost = pipeline.restore(stage)
    except Exception as error:  # why the stage failed has to be said, whatever this is
        return f"\nThe outputs of the last good run were not put back: {error}"
    if not lost:
        return ""
    return (
        f"\nNot put back: {', '.join(lost)}. DVC's cache has them: "
        f"`dvc repro {stage}` with the former params and code brings them back."
    )
