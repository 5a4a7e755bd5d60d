"""The files of a model: the stage `train` writes them, and a logged model has copies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .padding import Layout

WEIGHTS_FILE = "model.keras"  # the network with its weights, as Keras saves it
WORD_INDEX_FILE = "word_index.json"  # the frequency rank of each word
CONFIG_FILE = "config.json"
THRESHOLD = "evaluate.threshold"  # a param of a run, and in the config that MLflow keeps
MODEL_FILES = (WEIGHTS_FILE, WORD_INDEX_FILE, CONFIG_FILE)


@dataclass(frozen=True)
class ModelConfig:
    """What it takes to read texts and to name labels, besides the network and the word index.

    Attributes:
        dataset: the name of the dataset that the model was trained on.
        label_names: the names of the labels, in the order of their indices.
        tokenizer: the name of the tokenizer.
        layout: how a text becomes a row of token ids.
    """

    dataset: str
    label_names: list[str]
    tokenizer: str
    layout: Layout

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the config in a parsed `config.json`, which `dataclasses.asdict` has made.

        Raises:
            TypeError: keys are missing or unknown.
        """
        return cls(**{**document, "layout": Layout(**document["layout"])})
