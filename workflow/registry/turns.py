"""One process at a time decides who is champion: of this folder, and of all that share a server.

MLflow can move no alias on the condition that it is where it was. So whoever decides takes a number
first, as at a baker's, and waits until all smaller ones are gone. Of two processes, the one that
wrote its number later sees the other's, and takes a greater one. The numbers are tags of the
registered model, so that they take no other right than a decision does.

Source: Lamport 1974, *A New Solution of Dijkstra's Concurrent Programming Problem*; without its
phase of choosing, at the price that two who choose the same number choose again.
"""

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from sentiment.errors import StoreError
from workflow import files, signals
from workflow.runs import store

if TYPE_CHECKING:
    import mlflow

NUMBER = "promote.turn."  # tag: a number; the tag's name ends with whose it is
# that a turn may last: a decision takes a few, but each request may take a minute (store.PATIENCE)
DEAD_SECONDS = 180.0
LOOK_SECONDS = 0.2  # between two looks at the numbers


@contextmanager
def of_this_folder() -> Iterator[None]:
    """Let one process of this folder in at a time, and no signal end it between two changes."""
    from filelock import FileLock

    with signals.deferred(), FileLock(files.root() / f"{store.DATABASE}.registry.lock"):
        yield


@contextmanager
def turn(client: "mlflow.MlflowClient", name: str) -> Iterator["mlflow.MlflowClient"]:
    """Wait until nobody else decides about a registered model of a server; nobody does meanwhile.

    The client that is yielded changes nothing once others have ended the turn, since it lasted too
    long, but raises StoreError. What is left is a process that is stopped for that long just before
    a change.
    """
    from mlflow.exceptions import MlflowException

    if store.is_embedded():
        yield client
        return
    own = _Turn(client, name)
    try:
        own.take()
        own.wait()
        yield cast("mlflow.MlflowClient", own)
    finally:
        with suppress(MlflowException):  # others end it once it has lasted too long
            client.delete_registered_model_tag(name, own.tag)


class _Turn:
    def __init__(self, client: "mlflow.MlflowClient", name: str) -> None:
        self.client = client
        self.name = name
        self.tag = NUMBER + uuid.uuid4().hex

    def __getattr__(self, method: str) -> Any:
        if method.startswith(("set_", "delete_")):
            self._first()
        return getattr(self.client, method)

    def take(self) -> None:
        numbers = self._numbers()
        while numbers.pop(self.tag, 0) <= max(numbers.values(), default=0):
            time.sleep(random.uniform(0, LOOK_SECONDS))
            number = 1 + max(numbers.values(), default=0)
            self.client.set_registered_model_tag(self.name, self.tag, str(number))
            numbers = self._numbers()

    def wait(self) -> None:
        first, since = "", 0.0
        while (tag := self._first()) != self.tag:
            if not first:
                print("Waiting for another process to decide about the champion", flush=True)
            if tag != first:
                first, since = tag, time.monotonic()
            if time.monotonic() - since > DEAD_SECONDS:
                self.client.delete_registered_model_tag(self.name, tag)
            time.sleep(LOOK_SECONDS)

    def _first(self) -> str:
        """The tag of whose turn it is."""
        numbers = self._numbers()
        if self.tag not in numbers:
            raise StoreError(
                f"To decide about the champion of {self.name} took over {DEAD_SECONDS:g} seconds, "
                "and another process ended that. Run the command again."
            )
        return min(numbers, key=lambda tag: (numbers[tag], tag))

    def _numbers(self) -> dict[str, int]:
        tags = self.client.get_registered_model(self.name).tags
        return {tag: int(tags[tag]) for tag in tags if tag.startswith(NUMBER)}
