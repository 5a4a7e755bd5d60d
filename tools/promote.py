"""`make promote RUN=…` and `make demote`: a person's word about who is champion."""

import argparse
import sys

from sentiment.errors import UserError
from sentiment.process import run_command
from sentiment.registry import versions as registry
from sentiment.runs import store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--run", help="id of the run whose model becomes champion")
    chosen.add_argument("--demote", action="store_true", help="take the champion's place away")
    arguments = parser.parse_args()
    if arguments.run == "":
        raise UserError("Name a run, whose id `make sync` or `make ui` shows: RUN=<run id>")
    store.connect()
    print(registry.demote() if arguments.demote else registry.promote(arguments.run))


if __name__ == "__main__":
    run_command("make demote" if "--demote" in sys.argv else "make promote", main)
