"""The log of predictions: a line of JSON for each text, in one file a day (UTC)."""

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sentiment.errors import UserError

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import Prediction


class LogLine(BaseModel):
    """A line of a log, as its readers need it."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    version: str
    request_id: str
    words: int = Field(ge=0, lt=2**53)  # floats represent such numbers exactly
    unknown_share: float = Field(ge=0, le=1)
    truncated: bool
    label: str
    probabilities: dict[str, Annotated[float, Field(ge=0, le=1)]]
    text: str | None = None

    @model_validator(mode="after")
    def check_labels(self) -> Self:
        """Check that the label has a probability, and that there is another label."""
        if self.label not in self.probabilities or len(self.probabilities) < 2:
            raise ValueError("the labels do not belong together")
        return self


def parse_line(line: bytes) -> LogLine | None:
    """Parse a line of a log, or return None if it cannot be read.

    A full disk may have cut the line, and anybody may have edited it.
    """
    try:
        return LogLine.model_validate_json(line)
    except ValidationError:
        return None


class PredictionLog:
    """A folder of log files that only their owner can read. Processes may share it.

    If lines cannot be written, they are lost. This is reported once, until writing works again.

    Args:
        folder: the folder, which is created if needed.
        with_texts: log the texts as well.
    """

    def __init__(self, folder: Path, with_texts: bool) -> None:
        self.folder = folder
        self.with_texts = with_texts
        self._is_failing = False
        self._ends_in_cut_line = False

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
        lines = ""
        for number, (text, prediction) in enumerate(zip(texts, predictions, strict=True)):
            line: dict[str, Any] = {
                "time": now.isoformat(timespec="milliseconds"),
                "version": version,
                "words": prediction.words,
                "unknown_share": prediction.unknown_words / max(prediction.words, 1),
                "truncated": prediction.truncated,
                "label": prediction.label,
                "probabilities": prediction.probabilities,
                "request_id": f"{request_id}-{number}" if len(texts) > 1 else request_id,
            }
            if self.with_texts:
                line["text"] = text
            lines += json.dumps(line) + "\n"
        try:
            self._write(now, lines.encode())
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                print(f"Predictions are not logged: {error}", file=sys.stderr, flush=True)
            self._is_failing = True

    def _write(self, now: datetime, lines: bytes) -> None:
        """Append lines by one call, because processes that share the file must not mix theirs.

        Raises:
            OSError: not all could be written.
        """
        if self._ends_in_cut_line:
            lines = b"\n" + lines  # readers then skip only the cut line
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{now:%Y-%m-%d}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            written = os.write(descriptor, lines)
        finally:
            os.close(descriptor)
        self._ends_in_cut_line = written < len(lines)
        if self._ends_in_cut_line:
            raise OSError(f"no space is left for {path}")
