"""The end of a process at a named call of MLflow's client."""

from collections.abc import Callable
from typing import Any

import mlflow
import pytest


def end_at(
    patch: pytest.MonkeyPatch, method: str, argument: str = "", *, after: bool = False
) -> None:
    """Let a method of MLflow's client raise what ends the process.

    Args:
        patch: what undoes it.
        method: the name of the method.
        argument: only calls that have this argument. "": all calls.
        after: whether the call is made first.
    """
    call: Callable[..., object] = getattr(mlflow.MlflowClient, method)

    def call_or_end(*arguments: Any, **named: Any) -> object:
        is_meant = not argument or argument in (*arguments, *named.values())
        if not is_meant or after:
            result = call(*arguments, **named)
        if is_meant:
            # A killed process does not end its run.
            patch.setattr(mlflow.MlflowClient, "set_terminated", lambda *_, **__: None)
            raise KeyboardInterrupt
        return result

    patch.setattr(mlflow.MlflowClient, method, call_or_end)
