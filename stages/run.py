"""Run a stage: its messages and its exit status."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from sentiment.errors import describe_error
from sentiment.libraries import quiet_libraries
from sentiment.terminal import fit_to_terminal, show

STAGES = ("fetch", "pad", "train", "evaluate")


def run_stage(name: str, run: Callable[[], None]) -> None:
    """Run a stage. Exit with one message and a non-zero status if it fails.

    SIGTERM ends a stage as Ctrl-C does, by an exception.
    """
    quiet_libraries()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        run()
    except KeyboardInterrupt as error:
        number = error.args[0] if error.args else signal.SIGINT
        show(f"{name}: interrupted. To continue, run the same command again.", err=True)
        sys.exit(128 + number)
    except Exception as error:
        message = describe_error(error, "`dvc repro`")
        if message is None:
            raise
        sys.exit(fit_to_terminal(f"{name}: {message}"))


def interrupt(number: int, _: FrameType | None) -> None:
    """Raise the exception that Ctrl-C raises, with the number of the signal."""
    raise KeyboardInterrupt(number)
