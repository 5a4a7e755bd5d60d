"""Parts of a report that need no model."""

import csv
import os
from pathlib import Path

import pytest

from extras.monitor import run
from extras.monitor.drift import MonitorConfig
from extras.monitor.window import Window
from sentiment.data.params import TableParams
from tests.project import ROOT
from workflow.params import Params, load_yaml

ROW = [3, 0.5, 1, 0.25]


@pytest.fixture(scope="module")
def config() -> MonitorConfig:
    return load_yaml(MonitorConfig, ROOT / run.CONFIG_FILE)


@pytest.fixture
def table(default_params: Params) -> TableParams:
    return default_params.fetch.table


def window(texts: int, unreadable: int = 0, other_versions: int = 0) -> Window:
    current = Window()
    for _ in range(texts):
        current.add(ROW, None)
    current.unreadable = unreadable
    current.other_versions = other_versions
    return current


def status(current: Window, config: MonitorConfig) -> str:
    return run.choose_status(current, [], run.count_left_out(current, config))


def test_share_of_unreadable_rows_above_the_limit_is_an_alarm(config: MonitorConfig) -> None:
    assert status(window(990, unreadable=10), config) == "within limits"
    assert status(window(989, unreadable=11), config) == "alarm"


def test_predictions_of_other_versions_are_no_alarm(config: MonitorConfig) -> None:
    assert status(window(100, other_versions=900), config) == "within limits"


def test_mostly_unreadable_rows_are_an_alarm_even_with_few_texts(config: MonitorConfig) -> None:
    assert status(window(1, unreadable=99), config) == "alarm"
    assert status(window(1, unreadable=98), config) == "too few texts"


def test_label_file_is_readable_by_its_owner_only(tmp_path: Path, table: TableParams) -> None:
    path = tmp_path / "label.csv"
    before = os.umask(0)
    try:
        run.write_label_file(path, ["fine"], table)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_label_file_has_no_formula_whatever_the_separator(
    tmp_path: Path, table: TableParams
) -> None:
    """Spreadsheets of most of Europe separate fields by semicolons."""
    path = tmp_path / "label.csv"
    run.write_label_file(path, ["=1+1", "x;=cmd|'/C calc'!A0", 'a "b"'], table)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["text", "label"], [" =1+1", ""], ["x;=cmd|'/C calc'!A0", ""], ['a "b"', ""]]
    with path.open(encoding="utf-8", newline="") as file:
        fields = [field for row in csv.reader(file, delimiter=";") for field in row]
    assert not [field for field in fields if field.startswith("=")]
