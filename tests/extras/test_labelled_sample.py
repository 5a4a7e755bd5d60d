"""Texts that `make monitor` writes to be labelled are taken by `make evaluate` as they are."""

from pathlib import Path

import pandas as pd
import pytest

from extras.evaluate_file import __main__ as evaluate_file
from extras.monitor import monitor_run
from tests.conftest import Caller, own_copy
from tests.own_texts import write_texts
from tests.project import Project


def test_a_sample_is_evaluated_and_the_next_report_has_the_error_of_its_estimate(
    own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Caller
) -> None:
    project = own_copy(own_texts, tmp_path, monkeypatch)
    rows = write_texts(project.path / "other.csv", seed=5, count=600)
    labels = {" ".join(text.split()): label for text, label in rows}
    first = monitor_run.make("other.csv", None, None, 200)
    assert (first["errors"], first["accuracy"]) == ({}, None)
    table = pd.read_csv(first["labels"], keep_default_na=False)
    assert list(table) == ["text", "label"]
    assert {*table["label"]} == {""}
    assert len(table) == 200
    table["label"] = [labels[" ".join(text.split())] for text in table["text"]]
    table.to_csv(first["labels"], index=False)

    call(evaluate_file.main, "--file", first["labels"], "--text", "text", "--label", "label")
    second = monitor_run.make("other.csv", None, None, 0)
    ((name, error),) = second["errors"].items()
    assert name == Path(first["labels"]).name == f"label-{first['run_id'][:8]}.csv"
    assert (second["accuracy"] is None) == (error > 0.145)
