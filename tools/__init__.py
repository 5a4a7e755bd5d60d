"""The core's commands, one module each."""

import sys

MOVED = {
    "tools.compare": "extras.compare",
    "tools.demo": "extras.demo",
    "tools.ensemble": "extras.ensemble",
    "tools.evaluate": "extras.evaluate_file",
    "tools.memory": "benchmarks.seeds.memory",
    "tools.migrate": "extras.team.migrate",
    "tools.report": "extras.compare.report",
    "tools.seeds": "extras.seeds",
    "tools.server": "extras.team.server",
    "tools.sweep": "extras.sweep",
}

# Python imports this package before it looks for the module of `python -m tools.<name>`, and only
# then is argv so: nothing else could answer for a module that is not here any more.
if sys.argv[0] == "-m":
    former = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    if former in MOVED:
        sys.exit(f"{former} has moved: python -m {MOVED[former]}")
