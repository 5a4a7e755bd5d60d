"""Fixtures of the tests of `workflow`."""

import signal
from collections.abc import Iterator

import pytest

from workflow.commands import TERMINATION_SIGNALS


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Restore signal handlers that a test sets in the tests' own process."""
    before = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
