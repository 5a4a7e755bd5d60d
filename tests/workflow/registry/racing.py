"""A process that decides about versions at the same time as others, slowed down at random."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mlflow

from workflow.params import Promote
from workflow.registry import turns
from workflow.registry import versions as registry

LONGEST_PAUSE = 0.01  # seconds before a call


class Candidate(NamedTuple):
    """A version that is to be decided about, and the folder of its evaluation."""

    version: str
    folder: Path


class Slow:
    """A client that waits a while before each call."""

    def __init__(self, client: mlflow.MlflowClient, rng: random.Random) -> None:
        self.client = client
        self.rng = rng

    def __getattr__(self, name: str) -> Callable[..., Any]:
        time.sleep(self.rng.uniform(0, LONGEST_PAUSE))
        method: Callable[..., Any] = getattr(self.client, name)
        return method


def decide(uri: str, name: str, candidate: Candidate, rule: Promote, seed: int) -> None:
    """Let the rule decide about a version of a registered model on a server."""
    mlflow.set_tracking_uri(uri)
    turns.LOOK_SECONDS = 0.1
    client: Any = Slow(mlflow.MlflowClient(), random.Random(seed))
    version = client.get_model_version(name, candidate.version)
    with turns.turn(client, name) as deciding:
        registry.promote_by_rule(deciding, version, candidate.folder, rule)
