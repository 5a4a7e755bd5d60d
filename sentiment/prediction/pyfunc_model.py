"""The registered model: predict the label and the probability of raw texts.

MLflow stores the model as code and files, without pickle: this package and what it imports, the
Keras model, the word index and the config. Texts are encoded by the rules of the training
data, and predicted as the evaluation predicts them. Served probabilities therefore equal those of
the evaluation to the last bit.
"""

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

from ..text.model_files import (
    CONFIG_FILE,
    THRESHOLD,
    WEIGHTS_FILE,
    WORD_INDEX_FILE,
    ModelConfig,
)
from ..text.padding import Layout
from ..text.tokenizer import encode, tokenize_with_spans
from .explanation import Explanation, attribute_by_occlusion
from .keras_classifier import KerasClassifier, load_keras_model
from .probabilities import predicted_indices

TEXT_COLUMN = "text"


class Prediction(NamedTuple):
    """The prediction for a text.

    Attributes:
        unknown_words: number of words that have no token id of their own.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    words: int
    unknown_words: int


class SentimentModel(PythonModel):
    """The MLflow model, from a column `text` to the columns that `predict` returns.

    Attributes:
        label_names: the names of the labels, in the order of their indices.
        threshold: the positive label of two is predicted if its probability is above it.
        tokenizer: name of the tokenizer.
        word_index: the frequency rank of each known word.
        layout: how a text becomes a row of token ids.
    """

    label_names: list[str]
    threshold: float
    tokenizer: str
    word_index: dict[str, int]
    layout: Layout
    classifier: KerasClassifier

    def load_context(self, context: PythonModelContext) -> None:
        """Load the files that travel with the model."""
        files = {name: Path(path) for name, path in context.artifacts.items()}
        self.load(
            ModelConfig.from_document(json.loads(files[CONFIG_FILE].read_bytes())),
            json.loads(files[WORD_INDEX_FILE].read_bytes()),
            files[WEIGHTS_FILE],
            context.model_config[THRESHOLD],
        )

    def load(
        self, config: ModelConfig, word_index: dict[str, int], weights_file: Path, threshold: float
    ) -> None:
        """Load the model.

        Args:
            config: how texts are read, and the names of the labels.
            word_index: the frequency rank of each word.
            weights_file: the network, as Keras has saved it.
            threshold: the positive label of two is predicted if its probability is above it.
        """
        self.label_names = config.label_names
        self.tokenizer = config.tokenizer
        self.layout = config.layout
        self.word_index = word_index
        self.threshold = threshold
        self.classifier = KerasClassifier(load_keras_model(weights_file), self.layout)
        self.classifier.predict([[]])  # so that the first request does not have to wait

    def predict_texts(self, texts: Sequence[str]) -> list[Prediction]:
        """Return the prediction for each text."""
        encoded = [encode(text, self.word_index, self.tokenizer) for text in texts]
        probabilities = self.classifier.predict([text.ranks for text in encoded])
        predicted = predicted_indices(probabilities, self.threshold)
        return [
            Prediction(
                label=self.label_names[label],
                probability=row[label],
                probabilities=dict(zip(self.label_names, row, strict=True)),
                words=text.word_count,
                unknown_words=text.count_unknown(self.layout.max_rank),
            )
            for text, row, label in zip(encoded, probabilities.tolist(), predicted, strict=True)
        ]

    def predict(
        self,
        context: PythonModelContext | None,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Return the predictions for the texts in a column `text`.

        Returns:
            Columns `label`, `probability` (of the label) and `probabilities` (a dictionary with the
            probability of each label). The probabilities are float32.

        Raises:
            MlflowException: a value is not a string.
        """
        texts = list(model_input[TEXT_COLUMN])
        _check_texts(texts)
        predictions = self.predict_texts(texts)
        return pd.DataFrame(
            {
                "label": [prediction.label for prediction in predictions],
                "probability": np.array([one.probability for one in predictions], np.float32),
                "probabilities": [prediction.probabilities for prediction in predictions],
            }
        )

    def explain(self, text: str, label: str | None = None) -> Explanation:
        """Return the prediction for a text, with the attribution of each word.

        Args:
            label: one of `label_names`, to explain it instead of the predicted label.
        """
        words = tokenize_with_spans(text, self.word_index, self.tokenizer)
        return attribute_by_occlusion(
            self.classifier, words, self.label_names, self.threshold, label
        )


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
