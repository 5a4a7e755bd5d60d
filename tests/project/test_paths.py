"""The root is that of the project."""

from pathlib import Path

import pytest

from sentiment.project import paths


def test_the_root_is_the_project_also_in_a_temporary_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert paths.root() == tmp_path
