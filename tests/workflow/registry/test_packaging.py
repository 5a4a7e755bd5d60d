"""A registered model is another one if its predictions may differ, and brings its own code."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.pyfunc.model import PythonModel

from sentiment.errors import UserError
from workflow.registry import packaging
from workflow.registry.packaging import ModelPackage, PackagedModel


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    file = tmp_path / "file"
    file.write_text("content", encoding="utf-8")
    return ModelPackage([PackagedModel(file, {"batch_size": 4})], file, threshold=0.5)


def test_other_params_and_files_are_another_package(package: ModelPackage, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("other", encoding="utf-8")
    (model,) = package.models
    variants = [
        package,
        package._replace(threshold=0.4),
        package._replace(tokenizer="unicode"),
        package._replace(word_index=other),
        package._replace(models=[model._replace(path=other)]),
        package._replace(models=[model._replace(config={"batch_size": 8})]),
        package._replace(models=[model._replace(weight=0.5)]),
        package._replace(models=[model, model]),
    ]
    assert len(set(map(packaging.package_digest, variants))) == len(variants)


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of sentiment/ from which models are packaged."""
    copy = tmp_path / "sentiment"
    shutil.copytree(packaging.SENTIMENT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(packaging, "SENTIMENT", copy)
    return copy


@pytest.mark.parametrize(
    ("module", "travels"),
    [
        ("tokenizer.py", True),
        ("serving/ensemble_classifier.py", True),
        ("padding.py", False),
        ("network/model.py", False),
    ],
)
def test_changed_code_is_another_package_if_it_travels(
    package: ModelPackage, code: Path, module: str, travels: bool
) -> None:
    before = packaging.package_digest(package)
    with (code / module).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    assert (packaging.package_digest(package) != before) == travels


@pytest.mark.slow
def test_traveling_code_needs_nothing_of_the_project(tmp_path: Path) -> None:
    entry, _ = packaging.write_code(tmp_path, "served_abc")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
exec(open({str(entry)!r}).read())
ours = [name for name in sys.modules if name.split(".")[0] in ("sentiment", "workflow", "extras")]
print(ours)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_two_packages_of_different_code_are_loaded_side_by_side(
    tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("served_a", "served_b"):
        with (code / "tokenizer.py").open("a", encoding="utf-8") as file:
            file.write(f"ORIGIN = {name!r}\n")
        packaging.write_code(tmp_path, name)
    import served_a.tokenizer  # type: ignore[import-not-found]
    import served_b.tokenizer  # type: ignore[import-not-found]

    import sentiment.tokenizer

    assert served_a.tokenizer.ORIGIN == "served_a"
    assert served_b.tokenizer.ORIGIN == "served_b"
    assert not hasattr(sentiment.tokenizer, "ORIGIN")


@pytest.mark.usefixtures("root_with_store")
@pytest.mark.parametrize("uri", ["models:/nothing/1", "s3://bucket/model", "nothing"])
def test_model_that_cannot_be_loaded_is_one_message(uri: str) -> None:
    with pytest.raises(UserError, match=f"{uri} cannot be loaded: "):
        packaging.load_model(uri)


class OtherModel(PythonModel):
    """A model of another project, or as version 0.x registered it."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002
        return model_input


class OtherFlavor:
    """A model that is not written as a `PythonModel`."""

    def predict(self, model_input: Any) -> Any:
        return model_input


def _load_pyfunc(_: str) -> OtherFlavor:
    return OtherFlavor()


@pytest.mark.parametrize("arguments", [{"python_model": OtherModel()}, {"loader_module": __name__}])
def test_model_of_another_kind_is_one_message(tmp_path: Path, arguments: dict[str, Any]) -> None:
    mlflow.pyfunc.save_model(tmp_path / "model", pip_requirements=[], **arguments)
    with pytest.raises(UserError) as raised:
        packaging.load_model(str(tmp_path / "model"))
    assert str(raised.value) == (
        f"{tmp_path}/model does not take raw texts as this project's models do. Name a version of "
        "its registered model, such as models:/imdb-sentiment/1, or, if version 0.x registered it, "
        "train it again with `dvc repro`."
    )
