"""The summary of a pull request."""

import subprocess
import sys

import pytest

from tests.project import ROOT

pytestmark = pytest.mark.slow


def test_chart_of_a_pull_request_has_the_accuracies_of_both_commits() -> None:
    command = (sys.executable, ".github/accuracy_chart.py", "HEAD", "HEAD")
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    committed = subprocess.run(
        ("git", "show", "HEAD:metrics/history.csv"), cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    rows = committed.decode().split()[1:]
    accuracies = [round(float(row.split(",")[3]), 4) for row in rows]
    assert printed.count(f"  line {accuracies}\n") == 2
    assert f'x-axis "epoch" {list(range(1, len(accuracies) + 1))}\n' in printed
