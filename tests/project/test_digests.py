"""The digest of a list of files depends on their names and contents alone."""

import hashlib
import shutil
from pathlib import Path

import pytest

from sentiment.project.digests import digest_lines, file_digest, short_digest
from tests.small_project import ROOT

OF_A = hashlib.sha256(b"a").hexdigest()
OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def code(in_tmp_path: Path) -> Path:
    """Return a folder with a file in a subfolder, and an empty file beside the folder."""
    folder = in_tmp_path / "code"
    (folder / "part").mkdir(parents=True)
    (folder / "part" / "a.py").write_text("a", encoding="utf-8")
    (in_tmp_path / "alone.py").touch()
    return folder


@pytest.mark.usefixtures("code")
def test_files_are_listed_by_path_as_sha256sum_lists_them() -> None:
    listed = digest_lines([Path("code"), Path("alone.py")])
    assert listed == f"{OF_NOTHING}  alone.py\n{OF_A}  code/part/a.py\n"
    assert digest_lines([Path("alone.py"), Path("code")]) == listed


def test_the_files_that_dvcignore_names_do_not_count(code: Path) -> None:
    shutil.copy(ROOT / ".dvcignore", code.parent)
    before = digest_lines([Path("code")])
    for ignored in ("__pycache__/a.pyc", "part/.a.py.swp", ".DS_Store"):
        (code / ignored).parent.mkdir(exist_ok=True)
        (code / ignored).touch()
    assert digest_lines([Path("code")]) == before
    (code / "b.py").touch()
    assert digest_lines([Path("code")]) != before


@pytest.mark.usefixtures("code")
def test_a_file_has_the_digest_of_sha256() -> None:
    assert file_digest(Path("code/part/a.py")) == OF_A


def test_an_identity_is_the_start_of_a_digest() -> None:
    assert short_digest("a") == OF_A[:16]
