"""What a user of `dvc repro` and MLflow finds after the pipeline has run once."""

import json
import re

import pytest

from tests import names
from tests.command_log import CommandLog
from tests.logged import runs

pytestmark = pytest.mark.slow


def test_the_result_and_the_run_are_said_at_the_end(pipeline: CommandLog) -> None:
    (run,) = runs()
    accuracy = json.loads(names.METRICS.read_bytes())["test_accuracy"]
    assert run.data.metrics["test_accuracy"] == accuracy
    _, found, said = pipeline.printed["repro"].partition(f"Test Accuracy: {accuracy:.4f}\n")
    assert found
    assert said.startswith(
        f"Run {run.info.run_id[:8]}, {run.info.run_name}, is in MLflow: `make ui`\n"
    )
    # With the run, because an experiment may run in a copy of the project.
    assert f"`sentiment promote {run.info.run_id[:8]}`\n" in said


def test_tensorflow_prints_no_message(pipeline: CommandLog) -> None:
    messages = re.compile(r"WARNING|oneDNN|cuda|tensorflow|^[A-Z]\d{4} ", re.MULTILINE)
    assert messages.findall(pipeline.printed["repro"]) == []


def test_dvc_shows_plots(pipeline: CommandLog) -> None:
    plots = json.loads(pipeline.project.read("dvc", "plots", "show", "--json"))["data"]
    tables = ("confusion", "gradients", "history", "lengths", "reliability", "roc")
    assert plots.keys() == {"Loss", *(f"metrics/{name}.csv" for name in tables)}
