"""A metric that is added to `METRICS` appears in all reports that its entry names."""

from collections.abc import Iterator
from operator import truediv
from typing import Any

import mlflow
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from extras.compare import __main__ as compare
from extras.demo import __main__ as demo
from extras.evaluate_file import __main__ as evaluate_file
from extras.seeds.group import SeedGroup, SeedRun, format_group, group_metrics
from sentiment.evaluation.metrics import ALL_REPORTS, METRICS, Metric, Predictions
from stages import evaluate
from tests.conftest import Caller, own_copy, runs
from tests.project import Project
from tools import promote
from workflow import files
from workflow.files import EVALUATE
from workflow.registry import versions

pytestmark = pytest.mark.slow


def errors(predictions: Predictions) -> tuple[int, int]:
    """Return the number of wrong predictions, and of all."""
    table = predictions.table
    return int((table["actual"] != table["predicted"]).sum()), len(table)


@pytest.fixture(scope="module")
def evaluated(
    two_runs: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Evaluate a project again with one more metric, and yield its `metrics.json`.

    The project is the working directory. Its first run was evaluated without the metric.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        metric = Metric("error rate", lambda table: truediv(*errors(table)), ALL_REPORTS, errors)
        monkeypatch.setitem(METRICS, "errors", metric)
        own_copy(two_runs, tmp_path_factory.mktemp("metric"), monkeypatch)
        evaluate.main()
        promote.main(["--run", runs()[0].info.run_id], standalone_mode=False)
        yield files.read_json(EVALUATE / "metrics.json")


def test_run_comparison_and_seed_group_have_the_metric(
    evaluated: dict[str, Any], call: Caller
) -> None:
    value = evaluated["test_errors"]
    table = pd.read_csv(EVALUATE / "predictions.csv")
    assert value == (table["actual"] != table["predicted"]).mean() > 0
    run, first = runs()
    assert run.data.metrics["test_errors"] == pytest.approx(value)
    newest = versions.versions_of_run(run.info.run_id)[0]
    assert newest.tags["test_errors"] == str(value)

    printed = call(compare.main, "--a", first.info.run_id)
    (row,) = [line for line in printed.splitlines() if "| error rate" in line]
    assert row.count("95% interval") == 2
    assert f"{value:.4f} (" in row.split(" | ")[2]

    seed_runs = [SeedRun(seed, "", run.info.run_id, {}, evaluated) for seed in range(2)]
    printed = format_group(SeedGroup("", "key", seed_runs), "parent")
    assert f"error rate {value:.4f} ± 0.0000" in printed
    assert group_metrics(seed_runs)["test_errors_mean"] == pytest.approx(value)


def test_demo_and_evaluation_of_a_file_have_the_metric(
    evaluated: dict[str, Any], call: Caller
) -> None:
    page = AppTest.from_file(demo.PAGE, default_timeout=100).run()
    assert not page.exception
    values = {metric.label: metric.value for metric in page.metric}
    assert values["test error rate"] == f"{evaluated['test_errors']:.4f}"

    result = call.json(evaluate_file.main, "--file", "data/example.csv")
    metric = result["metrics"]["errors"]
    assert metric["test_value"] == evaluated["test_errors"]
    assert metric["interval"][0] < metric["value"] < metric["interval"][1]
    assert "error rate " in result["table"]
    logged = mlflow.get_run(result["run_id"]).data.metrics
    assert logged["test_errors"] == metric["value"]
