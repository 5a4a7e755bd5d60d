"""Tests of `python -m workflow.serving`."""

import ast
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from starlette.testclient import TestClient

import workflow.serving
from workflow.serving import __main__ as command

VERSION = "models:/stub/3"
CODE = """
import mlflow
import pandas as pd
from tests.workflow.serving.stub_model import StubModel

class Model(StubModel, mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        raise NotImplementedError

mlflow.models.set_model(Model())
"""


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model of MLflow that predicts as `StubModel` does."""
    folder = tmp_path_factory.mktemp("model")
    code = folder / "code.py"
    code.write_text(CODE, encoding="utf-8")
    path = folder / "model"
    mlflow.pyfunc.save_model(path, python_model=str(code), pip_requirements=[])
    return path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[FastAPI, str, int]]:
    """Collect the arguments of `serve`: the application, the host and the port."""
    calls: list[tuple[FastAPI, str, int]] = []
    monkeypatch.setattr(command, "serve", lambda *call: calls.append(call))
    return calls


def run_main(*arguments: Any) -> tuple[int, str]:
    result = CliRunner().invoke(command.main, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_folder_of_a_model_is_served_and_its_predictions_are_logged(
    model_folder: Path, served: list[tuple[FastAPI, str, int]], tmp_path: Path
) -> None:
    options = ["--version", VERSION, "--host", "0.0.0.0", "--log", tmp_path, "--log-texts"]
    assert run_main(model_folder, *options) == (
        0,
        f"Serving {VERSION} on http://0.0.0.0:8080/invocations\n",
    )
    ((app, host, port),) = served
    assert (host, port) == ("0.0.0.0", 8080)
    with TestClient(app) as client:
        assert client.get("/version").json()["model"] == VERSION
        assert client.post("/invocations", json={"inputs": ["a fine film"]}).status_code == 200
    (path,) = tmp_path.iterdir()
    assert "a fine film" in path.read_text(encoding="utf-8")


def test_log_texts_needs_the_folder_of_the_log(
    model_folder: Path, served: list[tuple[FastAPI, str, int]]
) -> None:
    status, output = run_main(model_folder, "--version", VERSION, "--log-texts")
    assert status == 2
    assert "Add --log." in output
    assert served == []


def imported_modules(path: Path) -> set[str]:
    """Return the modules that a module imports when it is loaded, so not for types only."""
    statements = ast.parse(path.read_bytes()).body
    modules: set[str] = set()
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            modules.add(str(statement.module))
        elif isinstance(statement, ast.Import):
            modules |= {alias.name for alias in statement.names}
    return modules


def test_container_needs_no_other_module_of_the_project() -> None:
    paths = Path(str(workflow.serving.__file__)).parent.glob("*.py")
    modules = set().union(*map(imported_modules, paths))
    own = {name for name in modules if name.split(".")[0] in ("sentiment", "stages", "workflow")}
    assert {name for name in own if not name.startswith("workflow.serving.")} == set()
