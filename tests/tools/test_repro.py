"""`make` alone says what there is."""

import subprocess

from tests.project import ROOT


def test_make_alone_lists_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = "repro sync verify predict serve demo promote demote ui compare report seeds"
    for target in [*targets.split(), "test", "test-fast", "check", "docs", "bench", "faults"]:
        assert f"make {target} " in done.stdout
