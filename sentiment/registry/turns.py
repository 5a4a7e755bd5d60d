"""One process at a time decides who is champion: of this folder, and of all that share a server.

MLflow can move no alias on the condition that it is where it was. So whoever decides takes a number
first, as at a baker's, and waits until all smaller ones are done. The numbers are tags of the
registered model, so that they take no other right than a decision does.

Source: Lamport 1974, *A New Solution of Dijkstra's Concurrent Programming Problem*.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from sentiment import files
from sentiment.runs import store

if TYPE_CHECKING:
    import mlflow

Result = TypeVar("Result")

NUMBER = "promote.turn."  # tags, ended by an id: the number; 0 while one is taken
DEAD_SECONDS = 60.0  # that a turn may last: a decision takes a few
LOOK_SECONDS = 0.2  # between two looks at the numbers


class Ended(Exception):
    """Others have ended the turn, since it lasted too long."""


class Turn:
    """A process's number among those of all that want to decide.

    Args:
        client: of the store.
        name: the registered model.
        again: whether an earlier turn of this decision was ended by others.
    """

    def __init__(self, client: "mlflow.MlflowClient", name: str, again: bool) -> None:
        self.client = client
        self.name = name
        self.again = again
        self.tag = NUMBER + uuid.uuid4().hex

    def take(self) -> None:
        """Take a number and wait until it is the smallest.

        Raises:
            Ended: see there.
        """
        self._put(0)
        self._put(1 + max(self._numbers().values(), default=0))
        first, since = "", 0.0
        while (now_first := self._first()) != self.tag:
            if now_first != first:
                first, since = now_first, time.monotonic()
            elif time.monotonic() - since > DEAD_SECONDS:
                self._end(first)
            time.sleep(LOOK_SECONDS)

    def check(self) -> None:
        """Raise `Ended` unless the turn lasts."""
        if self.tag not in self._numbers():
            raise Ended

    def end(self) -> None:
        """Let the next one have its turn."""
        self._end(self.tag)

    def _first(self) -> str:
        """Whose turn it is; who takes a number comes first, since it may be a smaller one."""
        numbers = self._numbers()
        if self.tag not in numbers:
            raise Ended
        return min(numbers, key=lambda tag: (numbers[tag], tag))

    def _numbers(self) -> dict[str, int]:
        tags = self.client.get_registered_model(self.name).tags
        return {tag: int(number) for tag, number in tags.items() if tag.startswith(NUMBER)}

    def _put(self, number: int) -> None:
        self.client.set_registered_model_tag(self.name, self.tag, str(number))

    def _end(self, tag: str) -> None:
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):  # it has been ended, or will be once it has lasted too long
            self.client.delete_registered_model_tag(self.name, tag)


class Alone(Turn):
    """The turn of a process whose store is this folder's: no other decides meanwhile."""

    def check(self) -> None:
        """Nobody ends it."""


@contextmanager
def of_this_folder() -> Iterator[None]:
    """Let one process of this folder in at a time."""
    from filelock import FileLock

    with FileLock(files.root() / f"{store.DATABASE}.registry.lock"):
        yield


def decided(client: "mlflow.MlflowClient", name: str, decide: Callable[[Turn], Result]) -> Result:
    """Decide while nobody else does; again, if others have ended the turn before that.

    Args:
        client: of the store.
        name: the registered model, which is there.
        decide: what to do; it calls the turn's `check` before and after it moves the alias.
    """
    if store.is_embedded(store.tracking_uri()):
        return decide(Alone(client, name, again=False))
    again = False
    while True:
        turn = Turn(client, name, again)
        try:
            turn.take()
            return decide(turn)
        except Ended:
            again = True
        finally:
            turn.end()
