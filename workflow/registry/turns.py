"""One process at a time decides who is champion: of this folder, and of all that share a server.

MLflow can move no alias on the condition that it is where it was. So whoever decides takes a number
first, as at a baker's, and waits until all smaller ones are done. The numbers are tags of the
registered model, so that they take no other right than a decision does.

Source: Lamport 1974, *A New Solution of Dijkstra's Concurrent Programming Problem*.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from workflow import files, signals
from workflow.runs import store

if TYPE_CHECKING:
    import mlflow

Result = TypeVar("Result")

# tags, ended by whose they are: of one that is taking a number, and the number
TAKING, NUMBER = "promote.taking.", "promote.turn."
# that a turn may last: a decision takes a few, but each request may take a minute (store.PATIENCE)
DEAD_SECONDS = 180.0
LOOK_SECONDS = 0.2  # between two looks at the numbers
TELL_SECONDS = 5.0  # of waiting before that is said


class Ended(Exception):
    """Others have ended the turn, since it lasted too long."""


class Turn:
    """A process's number among those of all that want to decide.

    Args:
        client: of the store.
        name: the registered model.
    """

    def __init__(self, client: "mlflow.MlflowClient", name: str) -> None:
        self.client = client
        self.name = name
        self.id = uuid.uuid4().hex

    def take(self) -> None:
        """Take a number and wait until it is the smallest.

        Raises:
            Ended: see there.
        """
        self._set(TAKING, 0)
        self._set(NUMBER, 1 + max(_of(self._tags(), NUMBER).values(), default=0))
        if self.id not in _of(self._tags(), TAKING):  # others waited too long, and may have gone on
            raise Ended
        self._remove(TAKING + self.id)
        self._wait()

    def _wait(self) -> None:
        """Wait until the number is the smallest, and end turns that last too long."""
        first, since, told = "", time.monotonic(), False
        while (now_first := self._first()) != NUMBER + self.id:
            if now_first != first:
                first, since = now_first, time.monotonic()
            if time.monotonic() - since > DEAD_SECONDS:
                self._remove(first)
            if not told and time.monotonic() - since > TELL_SECONDS:
                print("Waiting for another process to decide about the champion", flush=True)
                told = True
            time.sleep(LOOK_SECONDS)

    def check(self) -> None:
        """Raise `Ended` unless the turn lasts."""
        if self.id not in _of(self._tags(), NUMBER):
            raise Ended

    def end(self) -> None:
        """Let the next one have its turn."""
        from mlflow.exceptions import MlflowException

        for tag in (TAKING, NUMBER):
            with suppress(MlflowException):  # others end it once it has lasted too long
                self._remove(tag + self.id)

    def _first(self) -> str:
        """The tag of whose turn it is; who takes a number comes first: it may be a smaller one."""
        tags = self._tags()
        numbers, taking = _of(tags, NUMBER), _of(tags, TAKING)
        if self.id not in numbers:
            raise Ended
        if taking:
            return TAKING + min(taking)
        return NUMBER + min(numbers, key=lambda each: (numbers[each], each))

    def _tags(self) -> dict[str, str]:
        tags: dict[str, str] = self.client.get_registered_model(self.name).tags
        return tags

    def _set(self, kind: str, number: int) -> None:
        self.client.set_registered_model_tag(self.name, kind + self.id, str(number))

    def _remove(self, tag: str) -> None:
        if tag in self._tags():
            self.client.delete_registered_model_tag(self.name, tag)


def _of(tags: Mapping[str, str], kind: str) -> dict[str, int]:
    """The tags of a kind, by whose they are."""
    return {tag.removeprefix(kind): int(tags[tag]) for tag in tags if tag.startswith(kind)}


class Alone(Turn):
    """The turn of a process whose store is this folder's: no other decides meanwhile."""

    def check(self) -> None:
        """Nobody ends it."""


@contextmanager
def of_this_folder() -> Iterator[None]:
    """Let one process of this folder in at a time, and no signal end it between two changes."""
    from filelock import FileLock

    with signals.deferred(), FileLock(files.root() / f"{store.DATABASE}.registry.lock"):
        yield


def decided(client: "mlflow.MlflowClient", name: str, decide: Callable[[Turn], Result]) -> Result:
    """Decide while nobody else does; again, if others have ended the turn before that.

    Args:
        client: of the store.
        name: the registered model, which is there.
        decide: what to do; it calls the turn's `check` just before it moves the alias. What is left
            is a process that is stopped for longer than a turn may last right after that.
    """
    if store.is_embedded(store.tracking_uri()):
        return decide(Alone(client, name))
    while True:
        turn = Turn(client, name)
        try:
            turn.take()
            return decide(turn)
        except Ended:
            continue
        finally:
            turn.end()
