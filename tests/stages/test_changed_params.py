"""No stage ends if params.yaml has other params than those that it has used.

DVC reads params.yaml again after the stage, so dvc.lock would say what was not done.
"""

from importlib import import_module
from typing import Any

import pytest

from sentiment.errors import UserError
from sentiment.project.files.params_file import check_model
from sentiment.project.files.paths import Project
from tests.small_project import ProjectCopy, run_stages

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("stage", "function", "changes"),
    [
        ("fetch", "load_dataset", {"fetch": {"synthetic": {"seed": 9}}}),
        ("pad", "pad_dataset", {"lstm": {"max_length": 30}}),
        ("evaluate", "evaluate_predictions", {"evaluate": {"threshold": 0.7}}),
    ],
)
def test_an_edit_while_a_stage_runs_is_refused(
    project: ProjectCopy,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    function: str,
    changes: dict[str, Any],
) -> None:
    module = import_module(f"stages.{stage}")
    used = getattr(module, function)

    def edit_then_use(*arguments: Any) -> Any:
        project.change(**changes)
        return used(*arguments)

    monkeypatch.setattr(module, function, edit_then_use)
    with pytest.raises(UserError, match=r"params\.yaml was changed while the stage ran"):
        run_stages(project, stage)


def test_a_training_on_rows_that_were_made_with_other_params_is_refused(
    project: ProjectCopy,
) -> None:
    project.change(lstm={"max_length": 30})
    with pytest.raises(UserError, match="data/pad was made with other params"):
        run_stages(project, "train")


def test_a_stage_that_dvc_has_planned_for_another_model_is_refused(project: ProjectCopy) -> None:
    check_model(Project.here(), "lstm")
    project.change(model="linear")
    with pytest.raises(UserError, match=r"params\.yaml was changed"):
        check_model(Project.here(), "lstm")
