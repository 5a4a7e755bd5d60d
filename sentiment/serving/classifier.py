"""The model as it is served: raw text in, label and probability out.

MLflow keeps it as code and files, without pickle: this package, the file of the model or those of
an ensemble's members, the word index and the settings. The text is encoded by the code that encoded
the training data, and the model is asked as the evaluation asks it, so that its answers are those
of the evaluation, bit for bit.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from .. import text
from ..text import Layout, Word
from . import linear, network, odds
from .ensemble import Ensemble, Member
from .reader import Reader
from .trace import Gates

INDEX, SETTINGS = "word_index.json", "settings.json"  # beside the model's file
COLUMN = "text"


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
        self.load({name: Path(path) for name, path in context.artifacts.items()})

    def load(self, paths: dict[str, Path]) -> None:
        """Load these files, by their names; ValueError if one was changed."""
        settings = json.loads(paths[SETTINGS].read_bytes())
        for name, digest in settings["files"].items():
            _check(paths[name], digest)
        self.threshold: float = settings["threshold"]
        self.tokenizer: str = settings["tokenizer"]
        self.ranks: dict[str, int] = json.loads(paths[INDEX].read_bytes())
        self.reader = _reader(paths, settings["models"])

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
        effects = odds.log_odds(answers[0]) - odds.log_odds(answers[1:])
        contributions = [
            Contribution(words[place].start, words[place].end, float(effect))
            for place, effect in zip(self.reader.places(words), effects, strict=True)
        ]
        return Explanation(self._label(answers[0]), float(answers[0]), contributions)

    def trace(self, content: str) -> list[Step]:
        """Watch the model read: its answer after each word that it reads, and an LSTM's gates."""
        words = self.words(content)
        places = self.reader.places(words)
        answers = self.reader.after(words, places).tolist()
        gates: Sequence[Gates | None] = self.reader.gates(words) or [None] * len(places)
        return [
            Step(words[place].start, words[place].end, answer, at)
            for place, answer, at in zip(places, answers, gates, strict=True)
        ]

    def words(self, content: str) -> list[Word]:
        """The words of a text that the model knows, in order."""
        return text.known_words(content, self.ranks, self.tokenizer)

    def _label(self, probability: np.float32) -> str:
        return "positive" if probability > self.threshold else "negative"


def _check(path: Path, digest: str) -> None:
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != digest:
        raise ValueError(f"{path} was changed: its SHA-256 is {actual}, not {digest}")


def _reader(paths: dict[str, Path], models: list[dict[str, Any]]) -> Reader:
    """The one model, or the ensemble of several."""
    members = [Member(_load(paths[each["file"]], each), each["weight"]) for each in models]
    return members[0].reader if len(members) == 1 else Ensemble(members)


def _load(path: Path, model: dict[str, Any]) -> Reader:
    if path.suffix == Path(linear.FILE).suffix:
        return linear.load(path)
    return network.load(path, model["batch_size"], Layout(**model["layout"]))


def _require_texts(texts: list[Any]) -> None:
    for row, given in enumerate(texts):
        if not isinstance(given, str):
            missing = given is None or (isinstance(given, float) and math.isnan(given))
            what = "missing" if missing else f"{type(given).__name__}, not a text"
            raise MlflowException(
                f"Row {row} of column {COLUMN!r} is {what}.", error_code=INVALID_PARAMETER_VALUE
            )
