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
    """The params of the linear architecture, see `sentiment.network.linear`."""

    ngrams: int = Field(ge=1, le=3, description="Words in the longest n-grams.")
    max_features: int = Field(
        ge=1,
        le=2**24,
        description="Maximum number of words and n-grams with a weight. The most frequent ones "
        "are chosen.",
    )
    ending: float = Field(
        ge=0,
        le=1,
        description="Share of a review, at its end, with words and bigrams that are also features "
        "of their own. 0: none.",
    )
    min_reviews: int = Field(
        ge=1,
        le=1_000_000,
        description="Words and n-grams in fewer training reviews are ignored. With 1, a model "
        "reveals what a single review contains.",
    )
    share: float = Field(
        ge=0,
        lt=1,
        description="Weight of the linear component in the mean of its log-odds and the "
        "network's ([Cheng et al. 2016](https://arxiv.org/abs/1606.07792)). 0: no linear "
        "component. Metrics of the training set describe the network alone.",
    )


class DropoutParams(Section):
    """The rates of dropout."""

    word: float = Field(
        ge=0,
        lt=1,
        description="Entire words, including the start token, become the unknown token. Padding "
        "stays (Iyyer et al. 2015).",
    )
    embedding: float = Field(
        ge=0, lt=1, description="Entire channels of the word vectors (spatial dropout)."
    )
    input: float = Field(
        ge=0,
        lt=1,
        description="Inputs of the cell. In a transformer, what attention and the "
        "feed-forward part add to their inputs.",
    )
    recurrent: float = Field(
        ge=0,
        lt=1,
        description="Recurrent state of the cell. Rules out the fast path on a CPU, and "
        "cuDNN's kernels on a GPU.",
    )
    head: float = Field(ge=0, lt=1, description="Vector that the classifier reads.")


class EarlyStoppingParams(Section):
    """The params of early stopping."""

    patience: int = Field(
        ge=0,
        description="Epochs without an improvement after which the training stops, with the best "
        "epoch's weights. 0: never stop early.",
    )
    monitor: Literal["val_loss", "val_accuracy"] = Field(
        description="Metric that has to improve, here and for `keep_best`."
    )
    min_delta: float = Field(ge=0, description="Minimum change that counts as an improvement.")


class ScheduleParams(Section):
    """The params of the learning rate's schedule."""

    kind: Literal["constant", "cosine"] = Field(
        description="With `cosine`, the learning rate falls to 0 until the last of `train.epochs` "
        "([Loshchilov and Hutter 2017](https://arxiv.org/abs/1608.03983), without restarts)."
    )
    warmup_epochs: float = Field(
        ge=0,
        le=1000,
        description="Epochs at the start in which the learning rate rises linearly from 0. It may "
        "be a fraction: 0.5 is half an epoch.",
    )


class TrainParams(Section):
    """The section `train`, grouped as in params.yaml."""

    embedding_units: int = Field(ge=1, le=4096, description="Size of a word vector.")
    embedding_initializer: Literal["uniform", "cooccurrence"] = Field(
        description="Word vectors before the training. `uniform`: random, as in Keras. "
        "`cooccurrence`: computed from the words near each other in the training reviews ([Levy "
        "et al. 2015](https://aclanthology.org/Q15-1016/)), which takes about 10 s."
    )

    architecture: Literal["recurrent", "transformer", "linear"] = Field(
        description="Architecture of the model. `recurrent`: reads word after word into a state. "
        "`transformer`: reads all words at once, by the attention of encoder blocks ([Vaswani et "
        "al. 2017](https://arxiv.org/abs/1706.03762)). `linear`: reads a set of words and n-grams "
        "with a weight each ([Wang and Manning 2012](https://aclanthology.org/P12-2018/))."
    )
    cell: Literal["lstm", "gru", "simple_rnn"] = Field(
        description="Kind of the recurrent layers. `lstm`: [Hochreiter and Schmidhuber "
        "1997](https://doi.org/10.1162/neco.1997.9.8.1735), with forget gates. `gru`: [Cho et al. "
        "2014](https://arxiv.org/abs/1406.1078). `simple_rnn`: a plain recurrent network."
    )
    units: int = Field(
        ge=1,
        le=4096,
        description="Size of the recurrent state, for each direction. In a transformer, width of "
        "the feed-forward part (`ff_dim` in Keras' examples).",
    )
    layers: int = Field(
        ge=1,
        le=16,
        description="Number of recurrent layers or encoder blocks. Each reads the states of the "
        "one below.",
    )
    heads: int = Field(
        ge=0,
        le=256,
        description="Attention heads of a transformer, which must divide `embedding_units`. 0 for "
        "all other architectures.",
    )
    forget_bias: float = Field(
        ge=-10,
        le=10,
        description="Bias of the LSTM's forget gate before the training. 1, as in Keras, keeps "
        "73% of the cell's state at each step; 3 keeps 95%.",
    )
    recurrent_initializer: Literal["orthogonal", "glorot_uniform", "identity"] = Field(
        description="Recurrent weights before the training. `orthogonal`, as in Keras, keeps "
        "the length of the vectors that it multiplies."
    )
    bidirectional: bool = Field(description="Whether each review is also read backwards.")
    mask_padding: bool = Field(
        description="Whether padding is skipped, as by Keras' `mask_zero`. States do not change "
        "there, and attention and pooling leave it out. A transformer needs it."
    )
    segment_length: int = Field(
        ge=0,
        le=10_000,
        description="Number of tokens in a segment. Each segment of a review is read from a new "
        "state, and the states of all segments are pooled ([Johnson and Zhang "
        "2016](https://arxiv.org/abs/1602.02373)). 0: the review is one segment.",
    )
    pooling: Literal["last", "max", "mean", "max+mean"] = Field(
        description="Reduction of the states at all words to one vector: the last state, their "
        "maximum, their mean, or maximum and mean side by side."
    )

    linear: LinearParams = Field(
        description="Read only with `architecture: linear`, or with a `share` above 0, which "
        "combines a network with a linear component. The component is trained before the network, "
        "with the same optimizer, learning rate, schedule, epochs and batches."
    )

    dropout: DropoutParams = Field(
        description="Share of the values that are set to zero during the training. 0: off."
    )
    label_smoothing: float = Field(
        ge=0,
        lt=1,
        description="Share of each label that becomes one half, so that no prediction has to be "
        "certain. It also changes `val_loss`: compare `val_accuracy` instead. 0: off.",
    )
    class_weight: Literal["none", "balanced"] = Field(
        description="Weight of a review in the loss of the training. `none`: all the same. "
        "`balanced`: both labels the same in total, however rare one is (King and Zeng 2001)."
    )

    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"] = Field(
        description="Optimizer of Keras, with its defaults for everything that is not listed here."
    )
    learning_rate: float = Field(
        gt=0, le=10, description="Step size. The usual one for Adam is 0.001."
    )
    schedule: ScheduleParams = Field(description="Schedule of the learning rate, step by step.")
    weight_decay: float = Field(
        ge=0,
        lt=1,
        description="Share of each weight, times the learning rate, that every step subtracts "
        "([Loshchilov and Hutter 2019](https://arxiv.org/abs/1711.05101)). The default of Keras' "
        "`adamw` is 0.004. 0: off.",
    )
    global_clipnorm: float = Field(
        ge=0,
        le=1_000_000,
        description="Maximum norm of the gradient of all weights. A larger gradient is scaled "
        "down to it. 0: off.",
    )

    epochs: int = Field(
        ge=1, le=1000, description="Maximum number of passes over the training set."
    )
    batch_size: int = Field(ge=1, le=1_000_000, description="Reviews in a gradient step.")
    validation_split: float = Field(
        gt=0,
        lt=1,
        description="Share of the training reviews, the last ones, that become the validation "
        "set. The model is never trained on them.",
    )
    early_stopping: EarlyStoppingParams = Field(
        description="Early end of a training that no longer improves."
    )
    keep_best: bool = Field(
        description="Whether the weights of the best epoch are kept, by `early_stopping.monitor`, "
        "without stopping early."
    )

    seed: int = Field(
        ge=0, lt=SEED_LIMIT, description="Seed of the initial weights, the batches and dropout."
    )
    deterministic: bool = Field(
        description="Whether only operations are used that give the same bits each time. On a "
        "CPU, this costs little."
    )
    accelerate: bool = Field(
        description="Whether an LSTM is trained by `sentiment/network/fast_lstm.py` on a CPU, "
        "which is 1.1 to 2.8 times as fast as stock Keras, see "
        "[Performance](performance.md#the-fast-path)."
    )

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
