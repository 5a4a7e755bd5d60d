"""Lines as they come; on a terminal also a bar, and below it a line for each worker."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

BAR = "{percentage:3.0f}%|{bar:20}| {desc}"
BAR_COLUMNS = 28  # of it, without the description
LEFT_OUT = 3  # lines of a terminal for the bar and what is above it


class Progress:
    """What a command shows while others work for it."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self.stream = stream
        self.bar = tqdm(total=total, file=stream, bar_format=BAR, disable=None)
        self.below: list[tqdm[None]] = []

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self.bar.write(text, file=self.stream)
        self.stream.flush()

    def update(self, done: int, text: str, workers: Sequence[str]) -> None:
        """On a terminal, move the bar and change the lines below it."""
        if self.bar.disable:
            return
        columns, lines = shutil.get_terminal_size()
        self.bar.n = done
        self.bar.set_description_str(text[: columns - BAR_COLUMNS])
        workers = [worker[: columns - 1] for worker in workers[: lines - LEFT_OUT]]
        for number in range(len(self.below), len(workers)):
            line = tqdm(file=self.stream, position=number + 1, bar_format="{desc}", leave=False)
            self.below.append(line)
        rest = [""] * (len(self.below) - len(workers))
        for line, worker in zip(self.below, [*workers, *rest], strict=True):
            line.set_description_str(worker)

    def close(self) -> None:
        """Leave the lines that stay, and nothing below them."""
        for bar in [*self.below[::-1], self.bar]:
            bar.leave = False
            bar.close()


@contextmanager
def shown(total: int) -> Iterator[Progress]:
    """Show the progress towards so many, on standard output."""
    progress = Progress(total, sys.stdout)
    try:
        yield progress
    finally:
        progress.close()
