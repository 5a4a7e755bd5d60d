"""A metric that is added to `METRICS` is wherever its entry says, without another change."""

import json
from collections.abc import Iterator
from operator import truediv
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run
from streamlit.testing.v1 import AppTest

from extras.compare import __main__ as compare
from extras.compare import report
from extras.demo import __main__ as demo
from extras.evaluate_file import __main__ as evaluate_file
from extras.seeds import seed_group as group
from extras.seeds.seed_group import Group, Member
from sentiment.scoring.metrics import EVERYWHERE, METRICS, Metric, Predictions
from stages import evaluate
from tests.conftest import Caller, runs, stand_in
from tests.project import Project
from workflow import files
from workflow.files import EVALUATE
from workflow.registry import versions


def errors(predictions: Predictions) -> tuple[int, int]:
    """How many answers of how many are wrong."""
    table = predictions.table
    return int((table["actual"] != table["predicted"]).sum()), len(table)


@pytest.fixture(scope="module")
def evaluated(
    experiments: Project, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """`metrics.json` of a project that is evaluated again with one metric more; one stands there.

    Another run, the experiment `six`, was evaluated without it.
    """
    project = experiments.copy(tmp_path_factory.mktemp("metric") / "project")
    with pytest.MonkeyPatch.context() as monkeypatch:
        metric = Metric("error rate", lambda table: truediv(*errors(table)), EVERYWHERE, errors)
        monkeypatch.setitem(METRICS, "errors", metric)
        stand_in(project.path, monkeypatch)
        evaluate.main()
        yield files.read_json(EVALUATE / "metrics.json")


def by_experiment() -> dict[str | None, Run]:
    """The runs by the names of their DVC experiments; that of `data/` has none."""
    return {run.data.tags.get("dvc.experiment"): run for run in runs()}


def test_metrics_json_the_run_and_the_version_s_tags_have_it(evaluated: dict[str, Any]) -> None:
    table = pd.read_csv(EVALUATE / "predictions.csv")
    assert evaluated["test_errors"] == (table["actual"] != table["predicted"]).mean() > 0
    run = by_experiment()[None]
    assert run.data.metrics["test_errors"] == pytest.approx(evaluated["test_errors"])
    newest = versions.versions(mlflow.MlflowClient(), run.info.run_id)[0]
    assert newest.tags["test_errors"] == str(evaluated["test_errors"])


def test_a_comparison_has_it_of_both_sides(evaluated: dict[str, Any], call: Caller) -> None:
    six = by_experiment()["six"].info.run_id
    printed = call(compare.main, "--a", six).splitlines()
    (row,) = [line for line in printed if "| error rate" in line]
    assert row.count("95 % interval") == 2
    assert f"{evaluated['test_errors']:.4f} (" in row.split(" | ")[2]


def test_a_group_of_seeds_has_its_mean_and_spread(evaluated: dict[str, Any]) -> None:
    members = [
        Member(seed, "", run.info.run_id, {"train.seed": seed}, evaluated)
        for seed, run in enumerate(by_experiment().values())
    ]
    trainings = Group("2 seeds", "key", members)
    parent = group.log(trainings)
    logged = mlflow.get_run(parent).data.metrics
    assert logged["test_errors_mean"] == pytest.approx(evaluated["test_errors"])
    assert logged["test_errors_sd"] == 0
    shown = f"error rate {evaluated['test_errors']:.4f} ± 0.0000"
    assert shown in group.table(trainings, parent)


def test_the_report_has_it_with_its_interval(evaluated: dict[str, Any], call: Caller) -> None:
    call(report.main)
    page = report.PAGE.read_text(encoding="utf-8")
    _, _, tile = page.partition("<dt>Test error rate</dt>")
    assert tile.startswith(f'<dd class="value">{evaluated["test_errors"]:.2%}</dd>')
    assert "95% interval" in tile.splitlines()[0]


def test_the_demo_has_it(evaluated: dict[str, Any]) -> None:
    page = AppTest.from_file(demo.PAGE, default_timeout=100).run()
    assert not page.exception
    values = {metric.label: metric.value for metric in page.metric}
    assert values["test error rate"] == f"{evaluated['test_errors']:.4f}"


def test_a_file_s_evaluation_has_it_beside_that_of_the_test_set(
    evaluated: dict[str, Any], call: Caller
) -> None:
    printed = call(evaluate_file.main, "--file", "data/example.csv", "--json")
    result = json.loads(printed.splitlines()[-1])
    metric = result["metrics"]["errors"]
    assert metric["interval"][0] < metric["here"] < metric["interval"][1]
    assert metric["there"] == evaluated["test_errors"]
    assert "error rate " in result["table"]
    logged = mlflow.get_run(result["run_id"]).data.metrics
    assert logged["test_errors"] == metric["here"]
    assert logged["difference_errors"] == pytest.approx(metric["here"] - metric["there"])
