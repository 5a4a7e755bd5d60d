"""A signal ends a process at once, but cuts nothing short that must be whole."""

import os
import signal
import threading

import pytest

from workflow.signals import Interrupted, deferred

pytestmark = pytest.mark.usefixtures("raising")


def end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_is_raised_at_once() -> None:
    with pytest.raises(Interrupted, match="interrupted by SIGTERM") as raised:
        end()
    assert raised.value.code == 128 + signal.SIGTERM


def test_a_signal_in_a_block_that_defers_it_is_raised_at_the_end_of_the_outermost() -> None:
    steps = []

    def work() -> None:
        with deferred():
            with deferred():
                end()
                steps.append("inner")
            steps.append("outer")

    with pytest.raises(Interrupted):
        work()
    assert steps == ["inner", "outer"]


def test_a_block_in_the_clean_up_after_a_signal_raises_it_no_second_time() -> None:
    steps = []

    def work() -> None:
        try:
            end()
        finally:
            with deferred():
                steps.append("cleaning")
            steps.append("cleaned")

    with pytest.raises(Interrupted):
        work()
    assert steps == ["cleaning", "cleaned"]


def test_an_error_in_a_block_is_told_and_the_signal_raised_by_the_next_one() -> None:
    def fail() -> None:
        with deferred():
            end()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(Interrupted), deferred():
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_is_lost_in_a_finalizer_is_raised_by_the_next_block() -> None:
    class Finalized:
        def __del__(self) -> None:
            end()

    Finalized()
    with pytest.raises(Interrupted), deferred():
        pass


def test_a_block_in_another_thread_defers_nothing() -> None:
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        with deferred():
            begun.set()
            over.wait()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    with pytest.raises(Interrupted):
        end()
    over.set()
    thread.join()
