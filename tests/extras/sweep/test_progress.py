"""What a command shows while others work for it."""

import io
import os

import pytest

from extras.sweep import progress
from extras.sweep.progress import Progress


class Terminal(io.StringIO):
    """A stream that is taken for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 6)))


def shown(stream: io.StringIO, workers: list[str]) -> str:
    display = Progress(4, stream)
    display.update(1, "1 of 4, best 0.9", workers)
    display.line("Trial 2: 0.8")
    display.close()
    return stream.getvalue()


def test_a_terminal_has_lines_that_stay_a_bar_and_a_line_for_each_worker() -> None:
    output = shown(Terminal(), ["Trial 3: epoch 1 of 5", "Trial 4: epoch 2 of 5"])
    assert "Trial 2: 0.8\n" in output
    assert " 25%|#####               | 1 of 4, best 0.9" in output
    assert "Trial 3: epoch 1 of 5" in output
    assert "Trial 4: epoch 2 of 5" in output


def test_elsewhere_there_are_the_lines_alone() -> None:
    assert shown(io.StringIO(), ["Trial 3: epoch 1 of 5"]) == "Trial 2: 0.8\n"


def test_more_workers_than_a_terminal_has_lines_for_are_left_out_and_long_lines_cut() -> None:
    output = shown(Terminal(), [f"Trial {n} {'x' * 100}" for n in range(9)])
    assert "Trial 2 x" in output
    assert "Trial 3 x" not in output
    assert "x" * 73 not in output


def test_a_worker_that_is_done_leaves_no_line() -> None:
    stream = Terminal()
    display = Progress(2, stream)
    display.update(0, "", ["one", "two"])
    display.update(1, "", ["one"])
    assert [each.desc for each in display.below] == ["one", ""]
    display.close()


def test_the_lines_end_with_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(1) as display:
        display.line("a line")
    assert display.bar.disable
    assert capsys.readouterr().out == "a line\n"
