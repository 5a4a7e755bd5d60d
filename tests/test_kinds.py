"""What computes knows nothing of what runs, keeps and logs it."""

import ast
import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from tests.project import ROOT, Project, run_code
from tests.stages.test_dvc_yaml import STAGES, declared, listed_code
from workflow.params import Params

TAKEN = {
    "sentiment.backend.usable_cores": "the cores belong to a run's identity",
    "sentiment.data.dataset.file_name": "a file's name without the query of its address",
    "sentiment.errors.first_line": "errors of libraries in messages",
    "sentiment.errors.redacted": "no password in a message",
    "sentiment.gradients.curve": "gradients as the values of a metric",
    "sentiment.network.state.history_of": "the curve of a training that is resumed",
    "sentiment.scoring.answers.numbers": "the metrics that MLflow takes",
    "sentiment.scoring.metrics.calibration_error": "the rule asks for it, by the same groups",
}


def taken(path: Path) -> Iterator[str]:
    """The functions of `sentiment` that a module imports or calls by their module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("sentiment"):
            continue
        module = import_module(str(node.module))
        for alias in node.names:
            given = getattr(module, alias.name, None)
            if inspect.isfunction(given):
                yield f"{node.module}.{alias.name}"
            if inspect.ismodule(given):
                yield from called(tree, given.__name__, alias.name)


def called(tree: ast.Module, module: str, name: str) -> Iterator[str]:
    """The functions of a module that are called by its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            given = getattr(import_module(module), node.attr, None)
            if node.value.id == name and inspect.isfunction(given):
                yield f"{module}.{node.attr}"


def test_of_what_computes_few_functions_are_taken_each_for_a_reason() -> None:
    used = {name for path in (ROOT / "workflow").rglob("*.py") for name in taken(path)}
    assert used == TAKEN.keys()
    assert len(TAKEN) <= 8


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
    small_params: Params,
) -> None:
    params = small_params.train.model_dump_json()
    done = run_code(ALONE, params)
    assert done.stdout.splitlines()[-1:] == ["2 (64,) True"], done.stderr


STALE = """
import json, sys
from pathlib import Path
from dvc.repo import Repo

def stale():
    with Repo() as repo:
        return sorted(repo.status(targets=["dvc.yaml"]))

print(json.dumps(["nothing", stale()]))
for name in sys.argv[1:]:
    path = Path(name)
    before = path.read_bytes()
    path.write_bytes(before + b"# a comment\\n")
    print(json.dumps([name, stale()]), flush=True)
    path.write_bytes(before)
"""


def modules() -> list[Path]:
    """The modules of the core."""
    folders = ("stages", "sentiment", "workflow")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in paths if path.stem != "__init__"]


def test_dvc_runs_again_what_reaches_an_edited_module_and_nothing_for_infrastructure(
    finished: Project, tmp_path: Path
) -> None:
    """A comment is appended to each module in turn, and DVC asked what it would run."""
    names = [str(path.relative_to(ROOT)) for path in modules()]
    project = finished.copy(tmp_path / "project")
    answers = [
        json.loads(line) for line in project.read("python", "-c", STALE, *names).splitlines()
    ]
    stages = {stage: listed_code(declared()[stage]) for stage in STAGES}
    reached = {name: [stage for stage in sorted(STAGES) if name in stages[stage]] for name in names}
    assert dict(answers) == {"nothing": [], **reached}
    of_commands = "sentiment/explanation.py"  # of `make predict` and `make demo`
    assert {name for name in names if not reached[name]} == {
        name for name in names if name.startswith("workflow/") or name == of_commands
    }
