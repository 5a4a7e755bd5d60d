"""Processes for tests of what several do at once."""

import multiprocessing
from multiprocessing.context import ForkServerContext

import pytest


@pytest.fixture(scope="session")
def forkserver() -> ForkServerContext:
    """Starts processes that have imported MLflow already, so that they meet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [f"tests.workflow.{name}" for name in ("registry.racing", "runs.test_store")]
    )
    return context
