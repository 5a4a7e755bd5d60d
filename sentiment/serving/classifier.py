"""The model as it is served: raw text in, label and probability out.

MLflow keeps it as code and files, without pickle: this package and the files of `ARTIFACTS`. The
text is encoded by the code that encoded the training data, and the model asked as the evaluation
asks it, so that its answers are those of the evaluation, bit for bit.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from . import scoring_server, sequences, text
from .backend import load_keras
from .predictor import Predictor
from .scoring_server import COLUMN
from .sequences import Layout
from .trace import Gates, gates

if TYPE_CHECKING:
    import keras

ARTIFACTS = MODEL, INDEX, SETTINGS = "model.keras", "word_index.json", "settings.json"
LEAST = 1e-7  # nearer to 0 or 1 than this, float32 has no more digits to tell probabilities apart


class Contribution(NamedTuple):
    """What a word of a text did to the answer.

    Attributes:
        start: where the word begins in the text.
        end: where it ends.
        log_odds: log-odds of positive with the word less those with an unknown word in its place:
            above zero, it speaks for positive.
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
        gates: those of an LSTM at this word; None for another cell.
    """

    start: int
    end: int
    probability: float
    gates: Gates | None


class Sentiment(PythonModel):
    """A column `text` of strings to columns `label` and `probability` (of being positive)."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the files that travel with the model; ValueError if one was changed."""
        paths = {name: Path(context.artifacts[name]) for name in ARTIFACTS}
        settings = json.loads(paths[SETTINGS].read_bytes())
        for name, digest in settings["files"].items():
            _check(paths[name], digest)
        self.layout = Layout(**settings["layout"])
        self.threshold: float = settings["threshold"]
        self.ranks: dict[str, int] = json.loads(paths[INDEX].read_bytes())
        self.ask = _predictor(paths[MODEL], settings["batch_size"])
        scoring_server.answer_clearly()

    def predict(
        self,
        context: PythonModelContext | None,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Label and probability of each text; MlflowException if one is no text."""
        texts = list(model_input[COLUMN])
        _require_texts(texts)
        probabilities = self.ask(text.encode(texts, self.ranks, self.layout))
        labels = [self._label(probability) for probability in probabilities]
        return pd.DataFrame({"label": labels, "probability": probabilities})

    def explain(self, content: str) -> Explanation:
        """Say what each word did, by occlusion: an unknown word is put in the place of each.

        Source: Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks.
        """
        words = text.known_words(content, self.ranks)
        tokens = text.pad_words([words], self.layout)
        columns, places = self._read(len(words))
        without = np.repeat(tokens, len(columns), axis=0)
        without[np.arange(len(columns)), columns] = self.layout.unknown_token
        answers = self.ask(np.concatenate([tokens, without]))
        effects = _log_odds(answers[0]) - _log_odds(answers[1:])
        contributions = [
            Contribution(words[place].start, words[place].end, float(effect))
            for place, effect in zip(places, effects, strict=True)
        ]
        return Explanation(self._label(answers[0]), float(answers[0]), contributions)

    def trace(self, content: str) -> list[Step]:
        """Watch the model read: its answer after each word that it reads, and an LSTM's gates."""
        words = text.known_words(content, self.ranks)
        columns, places = self._read(len(words))
        cut = [words[: place + 1][-self.layout.max_length :] for place in places]
        answers = self.ask(text.pad_words(cut, self.layout))
        steps = gates(self.ask.model, text.pad_words([words], self.layout)[0])
        return [
            Step(
                words[place].start,
                words[place].end,
                float(answer),
                steps[column] if steps else None,
            )
            for place, answer, column in zip(places, answers, columns, strict=True)
        ]

    def _read(self, words: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The columns of the row of a text of so many words that have a word, and which word."""
        position, inside = sequences.positions(np.array([words + 1]), self.layout)
        columns = np.flatnonzero(inside[0] & (position[0] > 0))  # position 0 is the start mark
        return columns, position[0, columns] - 1

    def _label(self, probability: np.float32) -> str:
        return "positive" if probability > self.threshold else "negative"


def _check(path: Path, digest: str) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != digest:
        raise ValueError(f"{path} was changed: its SHA-256 is {actual}, not {digest}")


def _predictor(path: Path, batch_size: int) -> Predictor:
    """Load the Keras model and compile it, so that the first request does not wait for that."""
    model: keras.Model = load_keras().saving.load_model(path, compile=False)
    ask = Predictor(model, batch_size)
    ask(np.zeros((1, ask.length), np.int32))
    return ask


def _require_texts(texts: list[Any]) -> None:
    for row, given in enumerate(texts):
        if not isinstance(given, str):
            missing = given is None or (isinstance(given, float) and math.isnan(given))
            what = "missing" if missing else f"{type(given).__name__}, not a text"
            raise MlflowException(
                f"Row {row} of column {COLUMN!r} is {what}.", error_code=INVALID_PARAMETER_VALUE
            )


def _log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    kept = np.clip(probability.astype(np.float64), LEAST, 1 - LEAST)
    return np.log(kept / (1 - kept))
