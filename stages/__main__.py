"""Run a stage, such as `python -m stages train`.

Signals are handled before the modules of the stage are imported, which takes seconds.
"""

import gc
import sys
from importlib import import_module

from workflow.stage import SignalFlag, run_stage

NAMES = ("fetch", "pad", "train", "evaluate")
GARBAGE_THRESHOLD = 1_000_000  # new objects before Python searches for garbage


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in NAMES:
        sys.exit(f"Usage: python -m stages {'|'.join(NAMES)}")
    name = sys.argv[1]
    # Importing TensorFlow and MLflow makes millions of objects. By default, Python would search them
    # again and again, for 0.6 s in each stage.
    gc.set_threshold(GARBAGE_THRESHOLD)

    def import_and_run(flag: SignalFlag) -> None:
        stage = import_module(f"stages.{name}")
        if flag.number is None:
            stage.main(flag)

    run_stage(name, import_and_run)


if __name__ == "__main__":
    main()
