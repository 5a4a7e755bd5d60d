"""The stage `evaluate` writes texts only where they were asked for."""

import pandas as pd
import pytest

from tests.conftest import run_stages
from tests.project import Project

pytestmark = pytest.mark.slow
MISTAKES = "data/evaluate/mistakes.csv"


def test_mistakes_have_their_texts_second(finished: Project) -> None:
    assert list(pd.read_csv(finished.path / MISTAKES))[:2] == ["review", "text"]


def test_no_text_is_written_without_log_texts(project: Project) -> None:
    project.change(evaluate={"log_texts": False})
    run_stages(project, "evaluate")
    assert "text" not in pd.read_csv(project.path / MISTAKES)
