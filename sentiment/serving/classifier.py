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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from sentiment.text import Word, known_words

INDEX, SETTINGS = "word_index.json", "settings.json"  # beside the model's file
COLUMN = "text"
PLACE = __name__.removesuffix("sentiment.serving.classifier")  # of packages that are packed
LEAST = 1e-7  # nearer to 0 or 1 than this, float32 has no more digits to tell probabilities apart


class Reader(Protocol):
    """Texts, each a sequence of known words, to probabilities of being positive."""

    def answers(self, texts: Sequence[Sequence[Word]]) -> NDArray[np.float32]:
        """The probability for each text, shape (texts,)."""

    def places(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """Which of a text's words are read, rising, shape (read,)."""

    def without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Leave out what each word that is read says, one word at a time.

        Returns:
            The probability for the entire text, followed by those without each word that is read,
            shape (1 + read,).
        """

    def after(self, words: Sequence[Word], places: NDArray[np.int64]) -> NDArray[np.float32]:
        """The probability for the text cut after the word at each of these places, shape (places,).

        The cost is linear in the number of words and that of places.
        """


class Contribution(NamedTuple):
    """What a word of a text did to the answer.

    Attributes:
        start: where the word begins in the text.
        end: where it ends.
        log_odds: log-odds of positive with the word less those without it, see `Reader`: above
            zero, it speaks for positive.
    """

    start: int
    end: int
    log_odds: float


class Explanation(NamedTuple):
    """An answer, and what each word that the model knows and read did to it, in their order."""

    label: str
    probability: float
    words: list[Contribution]


class Step(NamedTuple):
    """How the model reads one word of a text.

    Attributes:
        start: where the word begins in the text.
        end: where it ends.
        probability: of being positive, the model's answer to the text cut after this word.
    """

    start: int
    end: int
    probability: float


class Sentiment(PythonModel):
    """A column `text` of strings to columns `label` and `probability` (of being positive)."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the files that travel with the model; ValueError if one was changed."""
        self.load({name: Path(path) for name, path in context.artifacts.items()})

    def load(self, paths: dict[str, Path]) -> None:
        """Load these files, by their names; ValueError if one was changed."""
        settings = json.loads(paths[SETTINGS].read_bytes())
        for name, digest in settings["files"].items():
            _check(paths[name], digest)
        self.threshold: float = settings["threshold"]
        self.tokenizer: str = settings["tokenizer"]
        self.ranks: dict[str, int] = json.loads(paths[INDEX].read_bytes())
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
        probabilities = self.reader.answers([self.words(each) for each in texts])
        labels = [self._label(probability) for probability in probabilities]
        return pd.DataFrame({"label": labels, "probability": probabilities})

    def explain(self, content: str) -> Explanation:
        """Say what each word did, by occlusion: the answer with it and without it.

        Source: Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks.
        """
        words = self.words(content)
        answers = self.reader.without_each(words)
        effects = log_odds(answers[0]) - log_odds(answers[1:])
        contributions = [
            Contribution(words[place].start, words[place].end, float(effect))
            for place, effect in zip(self.reader.places(words), effects, strict=True)
        ]
        return Explanation(self._label(answers[0]), float(answers[0]), contributions)

    def trace(self, content: str) -> list[Step]:
        """The model's answer after each word that it reads."""
        words = self.words(content)
        places = self.reader.places(words)
        answers = self.reader.after(words, places).tolist()
        return [
            Step(words[place].start, words[place].end, answer)
            for place, answer in zip(places, answers, strict=True)
        ]

    def words(self, content: str) -> list[Word]:
        """The words of a text that the model knows, in order."""
        return known_words(content, self.ranks, self.tokenizer)

    def _label(self, probability: np.float32) -> str:
        return "positive" if probability > self.threshold else "negative"


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """The log-odds (natural logarithm) of probabilities, of any shape."""
    kept = np.clip(probability.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(kept / (1 - kept))


def probability(odds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The probabilities of log-odds, of any shape."""
    return (1 / (1 + np.exp(-odds))).astype(np.float32)


def _check(path: Path, digest: str) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != digest:
        raise ValueError(f"{path} was changed: its SHA-256 is {actual}, not {digest}")


def load_reader(model: Mapping[str, Any], paths: Mapping[str, Path]) -> Reader:
    """What answers for a model, by the module that its settings name.

    Args:
        model: `reader`, the module, which has `load` of the same arguments; and its settings.
        paths: of all files, by their names.
    """
    reader: Reader = importlib.import_module(PLACE + model["reader"]).load(model, paths)
    return reader


def _require_texts(texts: list[Any]) -> None:
    for row, given in enumerate(texts):
        if not isinstance(given, str):
            missing = given is None or (isinstance(given, float) and math.isnan(given))
            what = "missing" if missing else f"{type(given).__name__}, not a text"
            raise MlflowException(
                f"Row {row} of column {COLUMN!r} is {what}.", error_code=INVALID_PARAMETER_VALUE
            )
