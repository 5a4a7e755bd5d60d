"""A run is compared with a seed group."""

import mlflow
import pytest

from extras.compare import __main__ as compare
from tests.conftest import Caller, runs
from tests.extras.seeds.test_seeds import children, find_parent


@pytest.mark.slow
@pytest.mark.usefixtures("group")
def test_run_and_seed_group_are_compared_by_the_standard_deviation_of_the_group(
    call: Caller,
) -> None:
    parent = find_parent().info.run_id
    single = runs()[-1].info.run_id
    output = call(compare.main, "--a", single, "--b", parent)
    assert "Each training is one observation: 1 and 2 trainings, all evaluated on" in output
    assert "Student's t-test" in output
    assert "| train.seed | 42 | 42, 43 |" in output
    logged = mlflow.MlflowClient().list_artifacts(parent, f"compare/{single}")
    assert f"compare/{single}/report.html" in {file.path for file in logged}
    mlflow.delete_run(children()[43].info.run_id)
    message = call.fail(compare.main, "--a", single, "--b", parent)
    assert f"lacks runs of the seed group {parent}. Run `make seeds`" in message
