"""The digest of files depends on their names and contents alone."""

import hashlib
import shutil
from pathlib import Path

import pytest

from sentiment.project.files.digests import file_digest, file_digests, folder_digest, short_digest
from tests.small_project import ROOT

OF_A = hashlib.sha256(b"a").hexdigest()
OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
DVCIGNORE = Path(".dvcignore")


@pytest.fixture
def code(in_tmp_path: Path) -> Path:
    """Return a folder with a file in a subfolder, and an empty file beside the folder."""
    folder = in_tmp_path / "code"
    (folder / "part").mkdir(parents=True)
    (folder / "part" / "a.py").write_text("a", encoding="utf-8")
    (in_tmp_path / "alone.py").touch()
    return folder


@pytest.mark.usefixtures("code")
def test_each_file_has_its_digest_by_its_path() -> None:
    listed = file_digests([Path("code"), Path("alone.py")], DVCIGNORE)
    assert listed == {"alone.py": OF_NOTHING, "code/part/a.py": OF_A}


def test_the_files_that_dvcignore_names_do_not_count(code: Path) -> None:
    shutil.copy(ROOT / ".dvcignore", code.parent)
    for ignored in ("__pycache__/a.pyc", "part/.a.py.swp", ".DS_Store"):
        (code / ignored).parent.mkdir(exist_ok=True)
        (code / ignored).touch()
    assert file_digests([Path("code")], DVCIGNORE).keys() == {"code/part/a.py"}


@pytest.mark.usefixtures("code")
def test_a_file_has_the_digest_of_sha256() -> None:
    assert file_digest(Path("code/part/a.py")) == OF_A


def test_a_folder_has_another_digest_with_another_name_or_content(code: Path) -> None:
    digests = [folder_digest(code)]
    (code / "part" / "a.py").write_text("b", encoding="utf-8")
    digests.append(folder_digest(code))
    (code / "part" / "a.py").rename(code / "part" / "b.py")
    digests.append(folder_digest(code))
    assert len(set(digests)) == 3


def test_a_folder_has_the_same_digest_elsewhere(code: Path) -> None:
    shutil.copytree(code, code.with_name("copy"))
    assert folder_digest(code.with_name("copy")) == folder_digest(code)


def test_a_short_digest_is_the_start_of_a_digest() -> None:
    assert short_digest("a") == OF_A[:16]
