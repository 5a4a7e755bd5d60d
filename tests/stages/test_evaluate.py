"""The stage `evaluate` refuses files that do not belong together."""

import pandas as pd
import pytest

from sentiment.errors import UserError
from tests.logged import runs
from tests.small_project import ProjectCopy, run_stages

pytestmark = pytest.mark.slow


def test_another_model_than_that_of_the_run_is_not_evaluated(project: ProjectCopy) -> None:
    before = project.contents("data/evaluate")
    model = project.path / "data" / "train" / "model.keras"
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"data/train does not belong to run .* in data/run.json"):
        run_stages(project, "evaluate")
    assert project.contents("data/evaluate") == before


def test_a_dataset_that_was_fetched_again_is_not_evaluated(project: ProjectCopy) -> None:
    project.change(fetch={"synthetic": {"seed": 5}})
    run_stages(project, "fetch")
    with pytest.raises(UserError, match=r"data/pad was made from another data/fetch"):
        run_stages(project, "evaluate")


def test_texts_are_left_out_of_mistakes_on_request(project: ProjectCopy) -> None:
    mistakes = project.path / "data" / "evaluate" / "mistakes.csv"
    assert "text" in pd.read_csv(mistakes)
    project.change(evaluate={"log_texts": False})
    run_stages(project, "evaluate")
    assert "text" not in pd.read_csv(mistakes)
    assert len(runs()) == 1
