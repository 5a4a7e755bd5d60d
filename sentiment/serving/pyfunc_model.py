"""The registered model: predict the label and the probability of raw texts.

MLflow stores the model as code and files, without pickle: this package and the modules that it
imports, the file of the model or of each member of an ensemble, the word index and the config.
Texts are encoded by the code that encoded the training data, and predicted as the evaluation
predicts them. Served probabilities therefore equal those of the evaluation to the last bit.
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

from ..tokenizer import ReadLimits, Word, encode, tokenize_with_spans

WORD_INDEX_FILE = "word_index.json"
CONFIG_FILE = "config.json"
TEXT_COLUMN = "text"
# Modules of this package that load a classifier. The config names one of them.
CLASSIFIERS = ("keras_classifier", "linear_classifier", "ensemble_classifier")
EPSILON = 1e-7  # closer to 0 or 1, float32 cannot tell probabilities apart


class TextClassifier(Protocol):
    """A model that predicts the probability that a text, given as its known words, is positive."""

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the probability of each text, given as word ranks; shape (texts,)."""

    def positions_read(self, words: Sequence[Word]) -> NDArray[np.int64]:
        """Return the ascending positions of the words that the model reads; shape (read,)."""

    def predict_without_each(self, words: Sequence[Word]) -> NDArray[np.float32]:
        """Return the probability of the text, then without each read word; shape (1 + read,)."""

    def predict_prefixes(
        self, words: Sequence[Word], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the probability of the text up to and including the word at each position.

        The cost is linear in the number of words and in the number of positions.

        Returns:
            Shape (positions,).
        """


class Prediction(NamedTuple):
    """The prediction for a text, and how much of the text the model reads.

    Attributes:
        label: "positive" or "negative".
        probability: of being positive.
        words: number of words in the text.
        unknown: number of words that the model cannot tell from any other unknown word.
        truncated: whether the model ignores some of the known words because of their number.
    """

    label: str
    probability: np.float32
    words: int
    unknown: int
    truncated: bool


class SentimentModel(PythonModel):
    """Predict columns `label` and `probability` (of being positive) from a column `text`.

    Attributes:
        threshold: a text with a probability above it is positive.
        tokenizer: name of the tokenizer, see `tokenizer.py`.
        word_index: the frequency rank of each known word.
        limits: which words of a text the model reads.
        classifier: the model itself.
    """

    threshold: float
    tokenizer: str
    word_index: dict[str, int]
    limits: ReadLimits
    classifier: TextClassifier

    def load_context(self, context: PythonModelContext) -> None:
        """Load the files that travel with the model, see `load`."""
        self.load({name: Path(path) for name, path in context.artifacts.items()})

    def load(self, paths: Mapping[str, Path]) -> None:
        """Load the model from its files, given by their names.

        Raises:
            ValueError: a file was changed, or the config names an unknown classifier.
        """
        config = json.loads(paths[CONFIG_FILE].read_bytes())
        for name, digest in config["files"].items():
            actual = hashlib.sha256(paths[name].read_bytes()).hexdigest()
            if actual != digest:
                raise ValueError(
                    f"{paths[name]} was changed: its SHA-256 is {actual}, not {digest}"
                )
        self.threshold = config["threshold"]
        self.tokenizer = config["tokenizer"]
        self.word_index = json.loads(paths[WORD_INDEX_FILE].read_bytes())
        members = config["model"].get("members", [config["model"]])
        layouts = [member.get("layout") for member in members]
        self.limits = ReadLimits.from_layouts(layouts, len(self.word_index))
        self.classifier = load_classifier(config["model"], paths)

    def predict_texts(self, texts: Sequence[str]) -> list[Prediction]:
        """Return the prediction for each text."""
        encoded = [encode(text, self.word_index, self.tokenizer) for text in texts]
        probabilities = self.classifier.predict_probability([text.ranks for text in encoded])
        return [
            Prediction(
                label=self.label_of(probability),
                probability=probability,
                words=text.word_count,
                unknown=self.limits.count_unknown(text),
                truncated=self.limits.truncates(text),
            )
            for text, probability in zip(encoded, probabilities, strict=True)
        ]

    def predict(
        self,
        context: PythonModelContext | None,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Return columns `label` and `probability` (float32) for the texts in a column `text`.

        Raises:
            MlflowException: a value is not a string.
        """
        texts = list(model_input[TEXT_COLUMN])
        _check_texts(texts)
        predictions = self.predict_texts(texts)
        probabilities = np.array([one.probability for one in predictions], np.float32)
        labels = [prediction.label for prediction in predictions]
        return pd.DataFrame({"label": labels, "probability": probabilities})

    def tokenize(self, text: str) -> list[Word]:
        """Return the words of a text that the model knows, in order."""
        return tokenize_with_spans(text, self.word_index, self.tokenizer)

    def label_of(self, probability: np.float32) -> str:
        """Return the label that a probability stands for."""
        return "positive" if probability > self.threshold else "negative"


def load_classifier(model: Mapping[str, Any], paths: Mapping[str, Path]) -> TextClassifier:
    """Load a classifier by the module that its config names.

    Args:
        model: the config of a model, or of a member of an ensemble.
        paths: the files that travel with the model, by their names.

    Raises:
        ValueError: the config does not name one of `CLASSIFIERS`.
    """
    name = model["classifier"]
    if name not in CLASSIFIERS:  # the name is imported
        raise ValueError(f"{name!r} is not a classifier. Known are {', '.join(CLASSIFIERS)}.")
    classifier: TextClassifier = importlib.import_module(f".{name}", __package__).load(model, paths)
    return classifier


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-odds (natural logarithm) of probabilities of any shape."""
    clipped = np.clip(probability.astype(np.float64), EPSILON, 1 - EPSILON)
    return np.log(clipped / (1 - clipped))


def _check_texts(values: Sequence[Any]) -> None:
    for row, value in enumerate(values):
        if isinstance(value, str):
            continue
        is_missing = value is None or (isinstance(value, float) and math.isnan(value))
        problem = "missing" if is_missing else f"{type(value).__name__}, not a text"
        raise MlflowException(
            f"Row {row} of column {TEXT_COLUMN!r} is {problem}.",
            error_code=INVALID_PARAMETER_VALUE,
        )
