"""Run a stage: its messages and its exit status."""

import os
import signal
import sys
from collections.abc import Callable

from sentiment.errors import describe_error
from sentiment.project.libraries import quiet_libraries
from sentiment.project.signals import Interrupted, SignalFlag

STAGES = ("fetch", "pad", "train", "evaluate")


def run_stage(name: str, main: Callable[[SignalFlag], None]) -> None:
    """Run a stage's `main`. Exit with one message and a non-zero status if it fails.

    The status is also non-zero if a signal came in a stage that finished: DVC then stops.
    """
    quiet_libraries()
    flag = SignalFlag(os.getppid() if "DVC_STAGE" in os.environ else None)
    flag.watch()
    try:
        main(flag)
    except Interrupted:
        pass
    except Exception as error:
        message = describe_error(error, "`dvc repro`")
        if message is None:
            raise
        sys.exit(f"{name}: {message}")
    if flag.received is not None:
        name_of_signal = signal.Signals(flag.received).name
        advice = "To continue, run the same command again."
        print(f"{name}: interrupted by {name_of_signal}. {advice}", file=sys.stderr)
        sys.exit(128 + flag.received)
