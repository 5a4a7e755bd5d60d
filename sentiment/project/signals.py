"""The signals that stop a stage.

A signal only sets a flag, so that it cuts nothing short. A training stops after the current batch.
Everything else takes seconds, and is finished first. A second signal ends the process at once.
"""

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal stopped a training."""


class SignalFlag:
    """The first signal that this process received, if any.

    Attributes:
        received: the number of the signal. None: there was none.
        parent: the process that this one should not outlive, if there is one.
    """

    def __init__(self, parent: int | None = None) -> None:
        self.received: int | None = None
        self.parent = parent
        self._watched: list[signal.Signals] = []

    def watch(self) -> None:
        """Set the flag from now on, instead of what the signals do by default."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
                signal.signal(number, self._receive)
                self._watched.append(number)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self.received = number
        for each in self._watched:
            signal.signal(each, signal.SIG_DFL)
        os.write(2, b"\nStopping. Send the signal again to stop at once.\n")

    def callback(self) -> "keras.callbacks.Callback":
        """Return a callback that raises `Interrupted` after a batch if there was a signal.

        It also stops a training whose parent is gone: DVC leaves its stage behind when it is
        killed, and nothing would record what the stage writes.
        """
        import keras

        def check(*_: Any, **__: Any) -> None:
            if self.received is None and self.parent not in (None, os.getppid()):
                sys.stderr.write("The process that started this training has exited.\n")
                self.received = signal.SIGTERM
            if self.received is not None:
                raise Interrupted

        return keras.callbacks.LambdaCallback(on_train_batch_end=check)
