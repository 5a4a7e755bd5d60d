"""The params of the network and its training: the section `train`."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sentiment.section import SEED_LIMIT, Section, flatten

KERAS_FORGET_BIAS = 1.0  # initial bias of an LSTM's forget gate in Keras
# Params that only some architectures read, with the value that each must have for the others.
ARCHITECTURE_PARAMS: Mapping[tuple[str, ...], Mapping[str, Any]] = {
    ("recurrent",): {
        "cell": "lstm",
        "forget_bias": KERAS_FORGET_BIAS,
        "recurrent_initializer": "orthogonal",
        "bidirectional": False,
        "dropout.recurrent": 0.0,
    },
    ("transformer",): {"heads": 0},
    ("recurrent", "transformer"): {
        "embedding_initializer": "uniform",
        "linear.share": 0.0,
        "mask_padding": False,
        "segment_length": 0,
        "pooling": "last",
        "dropout.word": 0.0,
        "dropout.embedding": 0.0,
        "dropout.input": 0.0,
        "dropout.head": 0.0,
    },
}


class LinearParams(Section):
    ngrams: int = Field(ge=1, le=3)
    max_features: int = Field(ge=1, le=2**24)
    ending: float = Field(ge=0, le=1)
    min_reviews: int = Field(ge=1, le=1_000_000)
    share: float = Field(ge=0, lt=1)


class DropoutParams(Section):
    word: float = Field(ge=0, lt=1)
    embedding: float = Field(ge=0, lt=1)
    input: float = Field(ge=0, lt=1)
    recurrent: float = Field(ge=0, lt=1)
    head: float = Field(ge=0, lt=1)


class EarlyStoppingParams(Section):
    patience: int = Field(ge=0)
    monitor: Literal["val_loss", "val_accuracy"]
    min_delta: float = Field(ge=0)


class ScheduleParams(Section):
    kind: Literal["constant", "cosine"]
    warmup_epochs: float = Field(ge=0, le=1000)


class TrainParams(Section):
    embedding_units: int = Field(ge=1, le=4096)
    embedding_initializer: Literal["uniform", "cooccurrence"]
    architecture: Literal["recurrent", "transformer", "linear"]
    linear: LinearParams
    cell: Literal["lstm", "gru", "simple_rnn"]
    units: int = Field(ge=1, le=4096)
    layers: int = Field(ge=1, le=16)
    heads: int = Field(ge=0, le=256)
    forget_bias: float = Field(ge=-10, le=10)
    recurrent_initializer: Literal["orthogonal", "glorot_uniform", "identity"]
    bidirectional: bool
    mask_padding: bool
    segment_length: int = Field(ge=0, le=10_000)
    pooling: Literal["last", "max", "mean", "max+mean"]
    dropout: DropoutParams
    label_smoothing: float = Field(ge=0, lt=1)
    class_weight: Literal["none", "balanced"]
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"]
    learning_rate: float = Field(gt=0, le=10)
    schedule: ScheduleParams
    weight_decay: float = Field(ge=0, lt=1)
    global_clipnorm: float = Field(ge=0, le=1_000_000)
    epochs: int = Field(ge=1, le=1000)
    batch_size: int = Field(ge=1, le=1_000_000)
    validation_split: float = Field(gt=0, lt=1)
    early_stopping: EarlyStoppingParams
    keep_best: bool
    seed: int = Field(ge=0, lt=SEED_LIMIT)
    deterministic: bool
    accelerate: bool

    def linear_component_params(self) -> Self:
        """Return the params of a linear component, which is trained as a model of its own.

        Params that only networks read keep their values, and are not read.
        """
        linear = self.linear.model_copy(update={"share": 0.0})
        return self.model_copy(update={"architecture": "linear", "linear": linear})

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.segment_length and self.pooling == "last":
            raise ValueError(
                f"segment_length {self.segment_length} needs another pooling than last: "
                "the last state has read only the last segment"
            )
        if self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(
                f"schedule.warmup_epochs {self.schedule.warmup_epochs:g} must be below epochs "
                f"{self.epochs}, or the training ends while the learning rate still rises"
            )
        if self.keep_best and self.early_stopping.patience:
            raise ValueError(
                f"keep_best needs early_stopping.patience 0, not {self.early_stopping.patience}: "
                "a training that stops early keeps its best epoch already"
            )
        if self.optimizer == "adamw" and not self.weight_decay:
            raise ValueError(
                "optimizer adamw needs a weight_decay above 0, such as Keras' 0.004: "
                "without one it is adam"
            )
        if self.cell != "lstm" and self.forget_bias != KERAS_FORGET_BIAS:
            raise ValueError(
                f"forget_bias {self.forget_bias:g} needs cell lstm: a {self.cell} has no forget "
                f"gate. Set it to {KERAS_FORGET_BIAS:g}"
            )
        return self

    @model_validator(mode="after")
    def _check_architecture_params(self) -> Self:
        values = flatten(self, "train")
        problems = [
            f"{name} applies only to the {' or '.join(owners)} architecture: "
            f"set it to {str(unset).lower()}"
            for owners, params in ARCHITECTURE_PARAMS.items()
            for name, unset in params.items()
            if self.architecture not in owners and values[f"train.{name}"] != unset
        ]
        is_transformer = self.architecture == "transformer"
        if is_transformer and (not self.heads or self.embedding_units % self.heads):
            problems.append(
                f"heads {self.heads} must divide embedding_units {self.embedding_units}"
            )
        if is_transformer and not self.mask_padding:
            problems.append("mask_padding must be true, so that no word attends to padding")
        if problems:
            raise ValueError(f"architecture {self.architecture}: {'; '.join(problems)}")
        return self
