"""The benchmark counts, measures and judges rightly; how fast things are is not tested."""

import csv
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import measure, report, run
from benchmarks.limit import epoch_flops
from benchmarks.report import Goal
from tests.project import ROOT
from workflow.params import Params

ENVIRONMENT = dict(os.environ)


def sample(code: str, folder: Path) -> measure.Sample:
    return measure.run([sys.executable, "-c", code], folder, ENVIRONMENT)


@pytest.mark.parametrize(
    ("changes", "products"),
    [
        ({}, [(64, 256), (64, 256)]),
        ({"embedding_units": 3}, [(3, 256), (64, 256)]),
        ({"layers": 2, "units": 5}, [(64, 20), (5, 20), (5, 20), (5, 20)]),
        (
            {"layers": 2, "units": 5, "bidirectional": True},
            [(64, 20), (5, 20), (10, 20), (5, 20)] * 2,
        ),
    ],
)
def test_flops_are_counted_from_the_products_of_every_step(
    changes: dict[str, Any], products: list[tuple[int, int]], default_params: Params
) -> None:
    params = default_params.train.model_copy(update=changes)
    one_review = sum(2 * rows * columns for rows, columns in products) * 7
    assert epoch_flops(params, 0, 1, 7) == one_review
    assert epoch_flops(params, 2, 3, 7) == (3 * 2 + 3) * one_review


def test_a_process_is_timed_and_its_memory_seen(tmp_path: Path) -> None:
    code = "import time; held = bytearray(300 * 2**20); time.sleep(0.4); print('done')"
    taken = sample(code, tmp_path)
    assert 0.4 <= taken.seconds < 10
    assert taken.output == "done\n"
    # measured from a small process: Linux counts what the starting one held at that moment
    measuring = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path; from benchmarks import measure
print(measure.run([sys.executable, "-c", {code!r}], Path(), {{}}).peak_mib)
"""
    assert 300 <= float(sample(measuring, tmp_path).output) < 500


def test_epochs_are_timed_from_line_to_line() -> None:
    lines = [(1.0, "Epoch 1/3\n"), (3.5, "accuracy\n"), (4.0, "Epoch 2/3\n"), (6.0, "Epoch 3/3\n")]
    assert measure.epoch_seconds(lines) == [3.0, 2.0]


def test_lines_are_timed_as_they_come(tmp_path: Path) -> None:
    code = "import time; print('Epoch 1/2'); time.sleep(1); print('Epoch 2/2')"
    (seconds,) = sample(code, tmp_path).epochs
    assert 0.5 <= seconds < 5  # on a busy machine, the first line is seen late


def test_a_command_that_fails_ends_the_benchmark_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(measure.Failed, match="ended with 3:\nno disk\n"):
        sample("import sys; print('no disk'); sys.exit(3)", tmp_path)


def test_what_others_use_is_told_apart_from_the_process_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = iter([100.0, 100.0 + 30.0])
    monkeypatch.setattr(measure, "_busy_seconds", lambda: next(busy))
    taken = sample("import time; time.sleep(0.5)", tmp_path)
    assert taken.foreign * taken.seconds == pytest.approx(30.0, abs=1.0)


SERIES = {"slow": [10.0, 30.0, 20.0], "fast": [10.0, 8.0, 12.0]}


@pytest.mark.parametrize(
    ("goal", "measured", "met"),
    [
        (Goal("ratio", "slow", "fast", True, 2.0), 2.0, True),
        (Goal("ratio", "slow", "fast", True, 2.1), 2.0, False),
        (Goal("ratio", "slow", "fast", False, 1.9), 2.0, False),
        (Goal("time", "fast", None, False, 10, "s"), 10.0, True),
    ],
)
def test_a_goal_is_held_against_medians(goal: Goal, measured: float, met: bool) -> None:
    assert report.value(goal, SERIES) == measured
    assert report.is_met(goal, SERIES) is met


def test_the_table_shows_what_was_missed_and_from_what() -> None:
    goals = [Goal("slow / fast", "slow", "fast", True, 2.5), Goal("alone", "fast", None, False, 11)]
    rows = report.goals_table(goals, SERIES).splitlines()[2:]
    ratio = "20 (10 to 30, n = 3) / 10 (8 to 12, n = 3)"
    assert rows[0] == f"| slow / fast | ≥ 2.5 | 2 | **no** | {ratio} |"
    assert rows[1] == "| alone | ≤ 11 | 10 | yes | 10 (8 to 12, n = 3) |"


def test_every_sample_is_in_the_csv(tmp_path: Path) -> None:
    report.write_csv(tmp_path / "results.csv", SERIES)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[1] == {"series": "slow", "sample": "2", "value": "30.0"}


def test_what_networks_took_becomes_series_without_the_first_epoch() -> None:
    printed = "a warning\nLSTM\tours\t5.0\t2.0\t4.0\nLSTM\tstock\t6\t5\nLSTM\tlimit\t1.5\n"
    assert dict(run.of_networks(printed)) == {
        "LSTM, ours": [2, 4],
        "LSTM, extra": [2],
        "LSTM, stock": [5],
        "LSTM, stock, extra": [1],
        "LSTM, limit": [1.5],
    }
