"""What computes knows nothing of what runs, keeps and logs it."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tests.project import ROOT, Project
from workflow.params import Params

TAKEN = {
    "sentiment.backend.usable_cores": "the cores belong to a run's identity",
    "sentiment.data.dataset.file_name": "a file's name without the query of its address",
    "sentiment.errors.first_line": "errors of libraries in messages",
    "sentiment.errors.redacted": "no password in a message",
    "sentiment.gradients.curve": "gradients as the values of a metric",
    "sentiment.network.state.history_of": "the curve of a training that is resumed",
    "sentiment.profile.describe": "a version keeps what its texts looked like",
    "sentiment.scoring.answers.numbers": "the metrics that MLflow takes",
    "sentiment.scoring.metrics.calibration_error": "the rule asks for it, by the same groups",
}


def taken(path: Path) -> Iterator[str]:
    """The functions of `sentiment` that a module imports or calls by their module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("sentiment"):
            continue
        for alias in node.names:
            value = getattr(import_module(str(node.module)), alias.name, None)
            if inspect.isfunction(value):
                yield f"{node.module}.{alias.name}"
            if inspect.ismodule(value):
                names = re.findall(rf"\b{alias.name}\.(\w+)", ast.unparse(tree))
                functions = dict(inspect.getmembers(value, inspect.isfunction))
                yield from (f"{value.__name__}.{name}" for name in names if name in functions)


def test_of_what_computes_few_functions_are_taken_each_for_a_reason() -> None:
    used = {name for path in (ROOT / "workflow").rglob("*.py") for name in taken(path)}
    assert used == TAKEN.keys()
    assert len(TAKEN) <= 9


ALONE = """
import sys
import numpy as np

class Refused:
    def find_spec(self, name, *_):
        assert name.partition(".")[0] != "workflow", f"{name} is imported"

sys.meta_path.insert(0, Refused())

import json
from sentiment.network.batches import Part
from sentiment.network.model import Inputs
from sentiment.network.state import START
from sentiment.network.train_options import Train
from sentiment.network.training import Training
from sentiment.serving.keras_reader import Predictor

rng = np.random.default_rng(0)
x = rng.integers(3, 20, (64, 6)).astype(np.uint8)
part = Part(x, (x[:, -1] > 10).astype(np.uint8))
inputs = Inputs(20, 6, padding_token=0, unknown_token=2, steps=1)
training = Training(Train.model_validate(json.loads(sys.argv[1])), inputs, part, part)
trained = training.fit(START, lambda _: None, show=False)
answers = Predictor(training.model, 8)(x)
print(len(trained.history), answers.shape, bool((answers > 0).all() and (answers < 1).all()))
"""


def test_a_network_trains_and_answers_where_nothing_else_can_be_imported(
    clone: Project, tmp_path: Path, small_params: Params
) -> None:
    project = clone.copy(tmp_path / "project")
    (project.path / "alone.py").write_text(ALONE, encoding="utf-8")
    printed = project.read("python", "-m", "alone", small_params.train.model_dump_json())
    assert printed.splitlines()[-1:] == ["2 (64,) True"]
