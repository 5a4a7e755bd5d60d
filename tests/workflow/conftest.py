"""Processes for tests of what several do at once."""

import multiprocessing
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running

import pytest

from tests.project import ROOT


@pytest.fixture(scope="session")
def forkserver() -> ForkServerContext:
    """Starts processes that have imported MLflow already, so that they meet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [f"tests.workflow.{name}" for name in ("registry.racing", "runs.test_store")]
    )
    with pytest.MonkeyPatch.context() as patch:  # what is so now, all of its processes have
        patch.chdir(ROOT)
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        ensure_running()
    return context
