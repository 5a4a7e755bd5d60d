"""Secrets and private texts stay where the user put them: docs/own-texts.md says what has which."""

import re
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

from extras.compare import __main__ as compare
from extras.compare import report
from extras.evaluate_file import __main__ as evaluate_file
from tests.conftest import Caller, stand_in
from tests.extras.conftest import SWEEP_SETTINGS
from tests.own_texts import NAME, write_texts
from tests.project import Project
from tests.services import PASSWORD, web

SIGNATURE = (
    "?X-Amz-Credential=planted-credential&X-Amz-Signature=planted-signature#planted-fragment"
)
IN_FILES = {
    ".env": "AWS_SECRET_ACCESS_KEY=planted-dotenv",
    ".env.local": "API_KEY=planted-dotenv-local",
    "review.txt": "My doctor said planted-untracked-text",
    "reviews.json": '["planted-json"]',
    "reviews.csv~": "body,stars\nplanted-backup,1",
    "keys/notes.py": "KEY = 'planted-module-elsewhere'",
    "staged.md": "planted-staged",
    ".dvc/config": "['remote \"own\"']\n    url = s3://own\n    access_key_id = planted-dvc-config",
    ".dvc/config.local": "['remote \"own\"']\n    secret_access_key = planted-dvc-local",
}
IN_ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "planted-environment",
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": "planted-tracking-password",
    "HTTPS_PROXY": "http://ann:planted-proxy@127.0.0.1:9",
}
SECRETS = [PASSWORD.encode(), b"planted-"]


def plant(project: Project, home: Path) -> None:
    """Put secrets and private texts where users have them."""
    for name, content in IN_FILES.items():
        (project.path / name).parent.mkdir(exist_ok=True)
        with (project.path / name).open("a", encoding="utf-8") as file:
            file.write(f"{content}\n")
    project.run("git", "add", "staged.md")
    address = "https://ann:planted-token@127.0.0.1/project.git"
    project.run("git", "remote", "add", "origin", address)
    netrc = home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login ann password {PASSWORD}\n", encoding="utf-8")
    netrc.chmod(0o600)


def texts_of(*tables: Path) -> list[bytes]:
    """Any three words that follow each other in one of the tables: nothing else has them."""
    parts = set()
    for path in tables:
        for row in path.read_text(encoding="utf-8").lower().splitlines():
            words = row.split()[:12]
            parts |= {" ".join(words[at : at + 3]).encode() for at in range(len(words) - 2)}
    return sorted(parts)


def holding(project: Project, places: Iterable[str], wanted: Collection[bytes]) -> set[str]:
    """The files that have one of these in their name or content, in any case of letters."""
    pattern = re.compile(b"|".join(re.escape(each.lower()) for each in wanted))
    paths = [path for place in places for path in project.path.glob(place)]
    searched = [path for folder in paths for path in (folder, *folder.rglob("*")) if path.is_file()]
    return {
        name
        for path in searched
        if pattern.search(f"{(name := str(path.relative_to(project.path)))}\n".lower().encode())
        or pattern.search(path.read_bytes().lower())
    }


MLFLOW = ("mlruns", "mlflow.db*", "reports")
WRITTEN = (*MLFLOW, "data", "sweeps.db*", "remote", ".dvc/cache", ".dvc/tmp", ".checkpoints")
MISTAKES = re.compile(r"mistakes\.csv|report\.html")


def test_secrets_stay_where_they_are_and_private_texts_go_where_the_docs_say(
    own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Caller
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    project = own_texts.copy(tmp_path / "project")
    project.environment |= IN_ENVIRONMENT
    stand_in(project.path, monkeypatch)
    shutil.rmtree(project.path / ".git")
    project.run("git", "init", "--quiet")
    project.run("dvc", "add", NAME)
    project.run("dvc", "remote", "add", "--default", "folder", str(project.path / "remote"))
    project.change(sweep=SWEEP_SETTINGS)
    project.commit()
    plant(project, tmp_path)
    private = tmp_path / "web" / "private"
    private.mkdir(parents=True)
    write_texts(private / "elsewhere.csv", seed=9)
    texts = texts_of(project.path / NAME, private / "elsewhere.csv")
    columns = ("--text", "body", "--label", "stars", "--positive", "1", "--file")

    project.change(train={"units": 5})  # with evaluate.log_texts: false, as it was trained before
    printed = [
        project.run("dvc", "repro"),
        project.run("dvc", "repro", "extras/baseline/dvc.yaml"),
        call(report.main),
        call(compare.main, "--a", "champion"),
        project.run("python", "-m", "extras.sweep", "--trials", "2", "--workers", "1"),
    ]
    with web(tmp_path / "web") as address:
        there = f"{address}/private/elsewhere.csv{SIGNATURE}"
        printed.append(call(evaluate_file.main, *columns, there))
        gone = f"{address}/private/gone.csv{SIGNATURE}"
        printed.append(call.fail(evaluate_file.main, *columns, gone))
    (tmp_path / ".netrc").unlink()
    with web(tmp_path / "web") as address:
        there = f"{address}/private/elsewhere.csv{SIGNATURE}"
        printed.append(call.fail(evaluate_file.main, *columns, there))
    assert "401" in printed[-1]
    printed.append(project.run("dvc", "push"))
    assert holding(project, MLFLOW, texts) == set()  # rows 1 to 4 of the table
    table = {"remote", ".dvc/cache"}  # after `dvc add`, the table itself
    assert {name.rpartition("/files/")[0] for name in holding(project, WRITTEN, texts)} == table
    words = (project.path / "data/fetch/word_index.json").read_bytes()
    assert any(path.read_bytes() == words for path in project.path.glob("remote/files/md5/*/*"))

    before = holding(project, ["remote"], texts)
    project.change(evaluate={"log_texts": True})
    printed += [project.run("dvc", "repro"), call(report.main)]
    printed += [call(compare.main, "--a", "champion"), project.run("dvc", "push")]
    logged = holding(project, MLFLOW, texts)
    assert {Path(name).name for name in logged} == {"mistakes.csv", "report.html"}
    assert all(holding(project, [place], texts) for place in ("mlruns", "reports/report.html"))
    (mistakes,) = holding(project, ["remote"], texts) - before
    kept = (project.path / "data/evaluate/mistakes.csv").read_bytes()
    assert (project.path / mistakes).read_bytes() == kept
    tracked = project.run("git", "ls-files").splitlines()
    assert NAME not in tracked
    project.run("git", "commit", "--quiet", "--message", "all", "--", "data", "dvc.lock")
    own_files = ("--", ".", ":(exclude)tests")  # the tests have these words, too
    in_git = project.run("git", "log", "--patch", "--all", *own_files).lower().encode()
    assert not any(text in in_git for text in texts)

    assert holding(project, WRITTEN, SECRETS) == set()
    output = "\n".join(printed).lower().encode()
    assert [secret for secret in SECRETS if secret in output] == []
    assert not any(text in output for text in texts)

    project.change(evaluate={"log_texts": False})
    call(report.main)
    assert holding(project, ["reports/report.html"], texts) == set()
