"""What makes a served model another one: what it answers by, and nothing else."""

import shutil
from pathlib import Path

import pytest

from workflow.registry import packaging
from workflow.registry.packaging import Model, Parts


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    file = tmp_path / "file"
    file.write_text("content", encoding="utf-8")
    return Parts([Model(file, {"batch_size": 4})], file, threshold=0.5)


def test_changed_code_is_another_model(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = packaging.digest(parts)
    copy = tmp_path / "sentiment"
    shutil.copytree(packaging.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    code = [copy / path.relative_to(packaging.ROOT) for path in packaging.CODE]
    monkeypatch.setattr(packaging, "ROOT", copy)
    monkeypatch.setattr(packaging, "CODE", code)
    assert packaging.digest(parts) == before
    with (copy / "tokenizer.py").open("a", encoding="utf-8") as file:
        file.write("# changed")
    assert packaging.digest(parts) != before


def test_other_settings_and_files_are_another_model(parts: Parts, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("other", encoding="utf-8")
    (model,) = parts.models
    variants = [
        parts,
        parts._replace(threshold=0.4),
        parts._replace(models=[model._replace(path=other)]),
        parts._replace(models=[model._replace(settings={"batch_size": 8})]),
        parts._replace(models=[model._replace(weight=0.5)]),
        parts._replace(models=[model, model]),
    ]
    assert len(set(map(packaging.digest, variants))) == len(variants)
