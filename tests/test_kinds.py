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
    "sentiment.data.params.file_name": "a file's name without the query of its address",
    "sentiment.errors.first_line": "errors of libraries in messages",
    "sentiment.errors.redacted": "no password in a message",
    "sentiment.gradients.as_metric": "gradients as the values of a metric",
    "sentiment.network.progress.history_frame": "the curve of a training that is resumed",
    "sentiment.profile.build_profile": "a version keeps what its texts looked like",
    "sentiment.evaluation.evaluate.flatten_metrics": "the metrics that MLflow takes",
    "sentiment.evaluation.metrics.calibration_error": "the rule asks for it, by the same groups",
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
from sentiment.network.batches import Split
from sentiment.network.model import Inputs
from sentiment.network.progress import NO_PROGRESS
from sentiment.network.params import TrainParams
from sentiment.network.training import Training
from sentiment.serving.keras_classifier import BatchPredictor

rng = np.random.default_rng(0)
x = rng.integers(3, 20, (64, 6)).astype(np.uint8)
part = Split(x, (x[:, -1] > 10).astype(np.uint8))
inputs = Inputs(20, 6, padding_token=0, unknown_token=2, steps_per_epoch=1)
training = Training(TrainParams.model_validate(json.loads(sys.argv[1])), inputs, part, part)
trained = training.fit(NO_PROGRESS, lambda _: None, verbose=False)
answers = BatchPredictor(training.model, 8)(x)
print(len(trained.history), answers.shape, bool((answers > 0).all() and (answers < 1).all()))
"""


def test_a_network_trains_and_answers_where_nothing_else_can_be_imported(
    clone: Project, tmp_path: Path, small_params: Params
) -> None:
    project = clone.copy(tmp_path / "project")
    (project.path / "alone.py").write_text(ALONE, encoding="utf-8")
    printed = project.read("python", "-m", "alone", small_params.train.model_dump_json())
    assert printed.splitlines()[-1:] == ["2 (64,) True"]
