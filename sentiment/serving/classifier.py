"""The model as it is served: raw text in, label and probability out.

MLflow keeps it as code and files, without pickle: this package and what it imports, the file of the
model or those of an ensemble's members, the word index and the settings, which name what reads it.
The text is encoded by the code that encoded the training data, and the model is asked as the
evaluation asks it, so that its answers are those of the evaluation, bit for bit.
"""

import hashlib
import importlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from sentiment.text import Limits, Word, encode, known_words

INDEX, SETTINGS = "word_index.json", "settings.json"  # beside the model's file
COLUMN = "text"
LEAST = 1e-7  # nearer to 0 or 1 than this, float32 has no more digits to tell probabilities apart
PLACE = __name__.removesuffix("sentiment.serving.classifier")  # of packages that are packed


class Reader(Protocol):
    """Texts, each a sequence of known words, to probabilities of being positive."""

    def answers(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The probability for each text, of which these are the words' ranks, shape (texts,)."""

    def places(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """Which of a text's words are read, rising, shape (read,)."""

    def without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """The probability for the text, then those without each word read, shape (1 + read,)."""

    def after(self, words: Sequence[Word], places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The probability for the text cut after the word at each of these places, shape (places,).

        The cost is linear in the number of words and that of places.
        """


class Sentiment(PythonModel):
    """A column `text` of strings to columns `label` and `probability` (of being positive)."""

    observe: Callable[..., None] | None = None  # is told texts, their words and probabilities

    def load_context(self, context: PythonModelContext) -> None:
        """Load the files that travel with the model; ValueError if one was changed."""
        self.load({name: Path(path) for name, path in context.artifacts.items()})

    def load(self, paths: dict[str, Path]) -> None:
        """Load these files, by their names; ValueError if one was changed."""
        settings = json.loads(paths[SETTINGS].read_bytes())
        for name, digest in settings["files"].items():
            actual = hashlib.sha256(paths[name].read_bytes()).hexdigest()
            if actual != digest:
                raise ValueError(
                    f"{paths[name]} was changed: its SHA-256 is {actual}, not {digest}"
                )
        self.threshold: float = settings["threshold"]
        self.tokenizer: str = settings["tokenizer"]
        self.ranks: dict[str, int] = json.loads(paths[INDEX].read_bytes())
        members = settings["model"].get("members", [settings["model"]])
        self.limits = Limits.of([member.get("layout") for member in members], len(self.ranks))
        self.reader = load_reader(settings["model"], paths)

    def predict(
        self,
        context: PythonModelContext | None,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Label and probability of each text; MlflowException if one is no text."""
        texts = list(model_input[COLUMN])
        _require_texts(texts)
        encoded = [encode(text, self.ranks, self.tokenizer) for text in texts]
        probabilities = self.reader.answers([text.ranks for text in encoded])
        if self.observe:
            self.observe(texts, encoded, probabilities)
        labels = [self.label(probability) for probability in probabilities]
        return pd.DataFrame({"label": labels, "probability": probabilities})

    def words(self, content: str) -> list[Word]:
        """The words of a text that the model knows, in order."""
        return known_words(content, self.ranks, self.tokenizer)

    def label(self, probability: np.float32) -> str:
        """The class that an answer says."""
        return "positive" if probability > self.threshold else "negative"


def load_reader(model: Mapping[str, Any], paths: Mapping[str, Path]) -> Reader:
    """What answers for a model, made by `load` of the module that its settings name, `reader`."""
    reader: Reader = importlib.import_module(PLACE + model["reader"]).load(model, paths)
    return reader


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """The log-odds (natural logarithm) of probabilities, of any shape."""
    kept = np.clip(probability.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(kept / (1 - kept))


def _require_texts(texts: list[Any]) -> None:
    for row, value in enumerate(texts):
        if not isinstance(value, str):
            is_missing = value is None or (isinstance(value, float) and math.isnan(value))
            problem = "missing" if is_missing else f"{type(value).__name__}, not a text"
            raise MlflowException(
                f"Row {row} of column {COLUMN!r} is {problem}.",
                error_code=INVALID_PARAMETER_VALUE,
            )
