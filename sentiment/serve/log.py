"""The log of predictions: a line of JSON for each text, in one file a day (UTC)."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sentiment.errors import UserError

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import Prediction


class PredictionLog:
    """A folder of log files that only their owner can read.

    If lines cannot be written, this is reported once, until writing works again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._is_failing = False

    def check(self) -> None:
        """Create the folder and today's file.

        Raises:
            UserError: they cannot be written.
        """
        try:
            self._write(datetime.now(UTC), b"")
        except OSError as error:
            raise UserError(
                f"Predictions cannot be logged in {self.folder}: {error.strerror}. Choose another "
                "folder."
            ) from None

    def append(
        self,
        version: str,
        request_id: str,
        texts: Sequence[str],
        predictions: "Sequence[Prediction]",
    ) -> None:
        """Append a line for each text of a request.

        With several texts, each line's id has the number of the text: `-0`, `-1` and so on.
        """
        now = datetime.now(UTC)
        lines = []
        for number, (text, prediction) in enumerate(zip(texts, predictions, strict=True)):
            line = {
                "time": now.isoformat(timespec="milliseconds"),
                "request_id": f"{request_id}-{number}" if len(texts) > 1 else request_id,
                "version": version,
                "text": text,
                "label": prediction.label,
                "probabilities": prediction.probabilities,
                "words": prediction.words,
                "unknown_words": prediction.unknown_words,
                "truncated": prediction.truncated,
            }
            lines.append(json.dumps(line) + "\n")
        try:
            self._write(now, "".join(lines).encode())
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                print(f"Predictions are not logged: {error}", file=sys.stderr, flush=True)
            self._is_failing = True

    def _write(self, now: datetime, lines: bytes) -> None:
        """Append lines to the file of the day.

        Raises:
            OSError: they cannot be written, or not all of them.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{now:%Y-%m-%d}.jsonl"
        with open(path, "ab", opener=open_privately) as file:
            file.write(lines)


def open_privately(path: str, flags: int) -> int:
    """Open a file. If it is created, only its owner can read it."""
    return os.open(path, flags, mode=0o600)
