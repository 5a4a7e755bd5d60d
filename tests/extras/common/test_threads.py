"""Processes share the cores of the machine."""

import pytest

from extras.common import threads


@pytest.mark.parametrize(("cores", "each"), [(5, 2), (1, 1), (None, 1)])
def test_two_processes_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, each: int
) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: cores)
    assert threads.threads_per_process(2) == each
