"""The clone is refused if it differs from the run's dvc.lock, and has no password of a remote."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentiment.errors import UserError
from sentiment.reproduce import clone
from sentiment.reproduce.record import RecordedRun

RUN = RecordedRun(run_id="a1", name="default", tags={}, folder=Path())
Ask = Callable[..., str]


@pytest.fixture
def project(in_tmp_path: Path) -> Path:
    """Make a project with two remotes the working directory, and return a clone of it."""
    folder = in_tmp_path / "clone" / ".dvc"
    folder.mkdir(parents=True)
    shared = in_tmp_path / "shared"
    (folder / "config").write_text(f"[cache]\n    dir = {shared}\n", encoding="utf-8")
    Path(".dvc").mkdir()
    Path(".dvc", "config").write_text(
        "[core]\n    remote = near\n"
        "['remote \"near\"']\n    url = ../my remote\n"
        "['remote \"far\"']\n    url = https://example.org\n",
        encoding="utf-8",
    )
    Path(".dvc", "config.local").write_text(
        "['remote \"far\"']\n    password = secret\n", encoding="utf-8"
    )
    return folder.parent


def replace_commands(monkeypatch: pytest.MonkeyPatch, ask: Ask) -> None:
    """Let a function stand for the commands of git and DVC."""
    monkeypatch.setattr(clone, "ask", ask)


def test_dvc_finds_the_data_in_the_cache_and_remotes_of_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.config import Config

    found = []

    def ask(folder: Path, *command: str) -> str:
        config = Config(str(folder / ".dvc"))
        found.append(command[-3:])
        assert config["core"]["remote"] == "near"
        assert config["remote"]["near"]["url"] == str(Path("my remote").absolute())
        assert config["remote"]["far"]["password"] == "secret"
        assert config["remote"]["project-cache"]["url"] == str(Path(".dvc", "cache").absolute())
        assert config["cache"]["dir"] == str(project / ".dvc" / "cache")
        return ""

    replace_commands(monkeypatch, ask)
    assert clone.pull_data(project)
    assert found == [("--remote", "project-cache", "data/fetch")]


def test_the_code_of_a_run_finds_no_password_of_a_remote_and_no_cache_of_others(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise UserError("no such data")

    replace_commands(monkeypatch, fail)
    assert not clone.pull_data(project)
    contents = [path.read_text() for path in project.rglob("*") if path.is_file()]
    assert len(contents) == 1
    assert "secret" not in contents[0]
    assert "shared" not in contents[0]


def test_variables_of_the_project_do_not_reach_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI", "GIT_DIR", "PYTHONPATH", "XLA_FLAGS"):
        monkeypatch.setenv(name, "x")
    kept = {name for name, value in clone.clean_environment().items() if value == "x"}
    assert kept == {"XLA_FLAGS"}


def test_what_differs_from_dvc_lock_is_named_but_for_results() -> None:
    status: dict[str, list[Any]] = {
        "pad": [{"changed outs": {"data/pad": "not in cache"}}],
        "train": [
            {"changed deps": {"data/pad": "deleted", "stages/train.py": "modified"}},
            {"changed deps": {"params.yaml": {"train": "modified"}}},
            "changed command",
        ],
    }
    assert clone.changed_inputs(status) == [
        "changed command of the stage train",
        "params.yaml",
        "stages/train.py",
    ]


@pytest.mark.parametrize(
    ("has_data", "advice"),
    [(True, "Name another run."), (False, "sentiment reproduce --params a1 && dvc repro fetch")],
)
def test_a_run_whose_code_or_table_is_not_there_is_refused_before_a_stage_runs(
    has_data: bool, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = '{"train": [{"changed deps": {"own.csv": "deleted"}}]}'
    replace_commands(monkeypatch, lambda *_: status)
    monkeypatch.setattr(clone, "pull_data", lambda _: has_data)
    with pytest.raises(UserError, match=r"has: own\.csv") as raised:
        clone.run_stages(RUN, Path())
    assert str(raised.value).endswith(advice)
