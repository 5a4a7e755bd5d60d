"""Fixtures of tests of what runs, stores and logs."""

import signal
from collections.abc import Iterator

import pytest

from workflow.commands import TERMINATION_SIGNALS


@pytest.fixture
def default_signals() -> Iterator[None]:
    """Put signal handlers back that a test sets in the tests' own process."""
    before = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
