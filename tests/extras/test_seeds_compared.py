"""A run is compared with a group of seeds."""

import mlflow
import pytest

from extras.compare import __main__ as compare
from tests.conftest import Caller, runs
from tests.extras.seeds.test_seeds import children, the_parent


@pytest.mark.slow
@pytest.mark.usefixtures("group")
def test_a_training_and_a_group_are_compared_by_its_spread(call: Caller) -> None:
    parent, single = the_parent().info.run_id, runs()[-1].info.run_id
    output = call(compare.main, "--a", single, "--b", parent)
    assert "The sample is the trainings, 1 and 2 of them, on this test set." in output
    assert "Student's t-test" in output
    assert "| train.seed | 42 | 42, 43 |" in output
    logged = mlflow.MlflowClient().list_artifacts(parent, f"compare/{single}")
    assert f"compare/{single}/report.html" in {file.path for file in logged}
    mlflow.delete_run(children()[43].info.run_id)
    message = call.fail(compare.main, "--a", single, "--b", parent)
    assert f"lacks trainings of the group {parent}: `make seeds`" in message
