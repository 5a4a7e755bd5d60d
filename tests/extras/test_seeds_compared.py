"""A group of seeds grows, shrinks and is compared with a run."""

import json

import mlflow
import pytest

from extras.compare import __main__ as compare
from extras.seeds import __main__ as seeds
from tests.conftest import Caller
from tests.extras.seeds.test_seeds import SEEDS, children, parents
from tests.project import Project


def test_more_and_fewer_seeds_share_the_parent_and_compare_with_a_run(
    group: Project, call: Caller
) -> None:
    (before,) = parents()
    printed = json.loads(group.read(*SEEDS, "--json", "--count", "3"))
    (parent,) = parents()
    assert printed["run_id"] == parent.info.run_id == before.info.run_id
    assert printed["name"] == parent.info.run_name == "3 seeds · lstm-4 · len 40 · synthetic"
    mean = parent.data.metrics["test_accuracy_mean"]
    assert printed["metrics"]["test_accuracy_mean"] == pytest.approx(mean)
    by_seed = children()
    assert sorted(by_seed) == [42, 43, 44]
    for training in printed["trainings"]:
        run = by_seed[training["seed"]]
        assert training["run_id"] == run.info.run_id
        assert training["experiment"].endswith(f"-{training['seed']}")
        assert training["metrics"]["test_accuracy"] == run.data.metrics["test_accuracy"]
    third = by_seed[44].info.run_id
    call(seeds.main, N="2")
    assert sorted(children()) == [42, 43]
    output = call(compare.main, "--a", third, "--b", parent.info.run_id)
    assert "a training, 1 against 2, of which a single one has the spread of the group" in output
    assert "Student's t-test" in output
    assert "| train.seed | 44 | 42, 43 |" in output
    logged = mlflow.MlflowClient().list_artifacts(parent.info.run_id, f"compare/{third}")
    assert f"compare/{third}/report.html" in {file.path for file in logged}
    mlflow.delete_run(children()[43].info.run_id)
    message = call.fail(compare.main, "--a", third, "--b", parent.info.run_id)
    assert f"lacks trainings of the group {parent.info.run_id}: `make seeds`" in message
