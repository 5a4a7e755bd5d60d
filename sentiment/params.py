"""`params.yaml`: its form, its limits, and a clear message where it does not keep to them."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from sentiment import settings
from sentiment.errors import CREDENTIALS
from sentiment.settings import HIDDEN, Section

PARAMS_FILE = Path("params.yaml")
SEED_LIMIT = 2**32  # NumPy's legacy generators and Keras take 32-bit seeds
KERAS_FORGET_BIAS = 1.0  # what an LSTM's forget gate starts with in Keras
SEARCHED = ("pad", "train")  # sections whose parameters a sweep may search
OTHER_REVIEWS = "it changes which reviews validate, so that trials cannot be compared. Leave it out"
NOT_SEARCHED = {
    "pad.shuffle_seed": OTHER_REVIEWS,
    "train.validation_split": OTHER_REVIEWS,
    "train.seed": "the luckiest seed would win. Leave it out: sweep.confirm trains the best trials "
    "again under further seeds",
}
WHOLE = re.compile(r"^(-?\d+)\.0+$")  # a number as pandas writes it
CLAUSE_LENGTH = 5  # words of the longest opinion: "the plot was not good"


class Synthetic(Section):
    seed: int = Field(ge=0, lt=SEED_LIMIT, description="same seed, same reviews")
    train_reviews: int = Field(
        ge=100,
        le=1_000_000,
        description="training reviews, enough for the default model to learn the rule in two "
        "or three epochs",
    )
    test_reviews: int = Field(
        ge=100, le=1_000_000, description="test reviews: standard error 0.2 points at 98 % accuracy"
    )
    vocab_size: int = Field(
        ge=200,
        le=88_000,
        description="distinct words at most; all but some seventy are names that mean nothing",
    )
    min_length: int = Field(ge=1, le=10_000, description="words in the shortest review")
    max_length: int = Field(
        ge=1,
        le=10_000,
        description="words in the longest; below pad.max_length, so that the cue is never cut off",
    )
    opinions: int = Field(ge=1, le=100, description="clauses that praise or pan")
    cue_distance: int = Field(
        ge=1,
        le=10_000,
        description="words from the cue to the end: how far a model has to remember",
    )
    negated_share: float = Field(
        ge=0, le=0.5, description='share of them that do so by negation ("was not dull")'
    )
    ironic_share: float = Field(
        ge=0,
        le=0.5,
        description="share of reviews whose cue turns all opinions into their opposite",
    )
    label_noise: float = Field(
        ge=0,
        lt=0.5,
        description="share of wrong labels: the best reachable accuracy is 1 - label_noise",
    )

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.max_length < self.min_length:
            raise ValueError(
                f"max_length {self.max_length} must be at least min_length {self.min_length}"
            )
        if self.min_length <= self.cue_distance:
            raise ValueError(
                f"min_length {self.min_length} must be greater than "
                f"cue_distance {self.cue_distance}, so that the cue fits"
            )
        if self.cue_distance < CLAUSE_LENGTH * self.opinions:
            raise ValueError(
                f"cue_distance {self.cue_distance} must be at least "
                f"{CLAUSE_LENGTH} times opinions {self.opinions}, so that they fit"
            )
        return self


def file_name(address: str) -> str:
    """The name of a file, by its path or its address, whose query is left out."""
    return PurePosixPath(urlsplit(address).path if "://" in address else address).name


def label_text(value: Any) -> Any:
    """A finite number or a truth value as JSON has it, also where a CSV has it as text.

    So 1, 1.0, `1` and `1.0` are one label, and so are true, `true` and `True`.
    """
    if isinstance(value, str):
        return value.lower() if value in ("True", "False") else WHOLE.sub(r"\1", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if is_number else value


def without_secret(address: Any) -> Any:
    """An address, unless it may hold a secret: params.yaml and dvc.lock keep it as it is."""
    if isinstance(address, str) and CREDENTIALS.search(address):
        raise PydanticCustomError(
            HIDDEN, "A password does not belong here, but in ~/.netrc or AWS's variables"
        )
    if isinstance(address, str) and re.search("://.*[?#]", address):
        raise PydanticCustomError(
            HIDDEN,
            "An address with ? or # may hold a signature or a token, and params.yaml and "
            "dvc.lock would keep it. Leave that part out, or download the file and name it",
        )
    return address


Address = Annotated[str, BeforeValidator(without_secret)]


class Table(Section):
    train: Address = Field(
        min_length=1,
        description="CSV, TSV, JSON lines or Parquet, by its ending: a path, or an address that "
        "DVC and fsspec read, such as https:// or s3://",
    )
    test: Address = Field(
        min_length=1,
        description="the file of the test part; the same as train: a share of it is set aside",
    )
    test_share: float = Field(
        gt=0,
        lt=1,
        description="share of the rows that is set aside, the same of each label; with groups one "
        "of two, three or so, whichever comes nearest",
    )
    split_seed: int = Field(ge=0, lt=SEED_LIMIT, description="which rows are set aside")
    text: str = Field(min_length=1, description="column of the texts")
    label: str = Field(min_length=1, description="column of the labels, of which there are two")
    positive: str = Field(
        min_length=1, description="the label that is positive: a text, a number or a truth value"
    )
    group: str | None = Field(
        description="column, such as a product or an author, whose rows never lie on both sides; "
        "empty: none"
    )
    tokenizer: Literal["keras", "unicode"] = Field(
        description="keras splits as IMDB was split, and lower-cases ASCII alone; unicode splits "
        "at the word boundaries of UAX 29, for languages with accents"
    )
    longest: int = Field(
        ge=1,
        le=1_000_000_000,
        description="characters of a text; a longer one is an error: a quote that is never closed "
        "makes one text of many",
    )

    @field_validator("positive", mode="before")
    @classmethod
    def _is_a_label(cls, value: Any) -> Any:
        return label_text(value)

    @model_validator(mode="after")
    def _groups_can_be_dealt(self) -> Self:
        if self.group is not None and self.test_share > 0.5:
            raise ValueError(
                f"test_share {self.test_share:g} must be at most 0.5 where there is a group: whole "
                "groups are dealt into two parts or more, one of which is set aside"
            )
        return self

    @property
    def name(self) -> str:
        """What the data set is called: the file of its training part."""
        return file_name(self.train)

    @property
    def files(self) -> list[str]:
        """The files of both parts, which may be one."""
        return sorted({self.train, self.test})

    @property
    def relative(self) -> list[str]:
        """Those that are named by a path from the project's root."""
        return [each for each in self.files if "://" not in each and not Path(each).is_absolute()]


class Fetch(Section):
    dataset: Literal["imdb", "synthetic", "table"] = Field(
        description="the generated set is for tests and machines that cannot reach IMDB; a table "
        "has your own texts, see docs/own-texts.md"
    )
    url: Address = Field(
        pattern=r"^https?://[^\s@]+/$",
        description="folder with both files, used where $KERAS_HOME/datasets (~/.keras/datasets) "
        "has no good copy; a password belongs in ~/.netrc",
    )
    archive_sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="digest that imdb.npz must have before it is opened"
    )
    word_index_sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="digest that imdb_word_index.json must have"
    )
    timeout: float = Field(
        gt=0,
        le=3600,
        description="seconds without an answer after which a download attempt is given up",
    )
    retries: int = Field(
        ge=0,
        le=100,
        description="further attempts: one bridges a brief failure, more would delay the error "
        "message",
    )
    synthetic: Synthetic = Field(description="read only with dataset: synthetic")
    table: Table = Field(description="read only with dataset: table")

    @property
    def name(self) -> str:
        """What the data set is called in MLflow."""
        return self.table.name if self.dataset == "table" else self.dataset


class Pad(Section):
    num_words: int = Field(
        ge=5,
        le=1_000_000,
        description="vocabulary: token ids below this, the three marks included; rarer words "
        "become unknown_token",
    )
    max_length: int = Field(
        ge=1,
        le=10_000,
        description="tokens a review is cut or filled to; 57 % of IMDB's training reviews fit "
        "completely",
    )
    padding: Literal["pre", "post"] = Field(
        description="pre fills in front, so that the LSTM's last state is at the last word"
    )
    truncating: Literal["pre", "post"] = Field(
        description="pre cuts in front, since a verdict tends to come at the end"
    )
    padding_token: int = Field(
        ge=0,
        description="mark that fills short reviews; all three marks as Keras' imdb.load_data sets "
        "them",
    )
    start_token: int = Field(ge=0, description="mark before the first word")
    unknown_token: int = Field(ge=0, description="mark in place of a rare word")
    index_from: int = Field(
        ge=0, description="added to every word's frequency rank, to leave room for the marks"
    )
    shuffle_seed: int = Field(
        ge=0,
        lt=SEED_LIMIT,
        description="order of the reviews, as in Keras: the file has all positive ones first",
    )

    @model_validator(mode="after")
    def _marks_are_apart(self) -> Self:
        marks = [self.padding_token, self.start_token, self.unknown_token]
        if len(set(marks)) < 3:
            raise ValueError(f"padding_token, start_token and unknown_token {marks} must differ")
        if max(marks) > self.index_from:
            raise ValueError(
                f"index_from {self.index_from} must be at least the largest mark {max(marks)}, "
                "or words would share it"
            )
        if self.num_words <= self.index_from + 1:
            raise ValueError(
                f"num_words {self.num_words} must be greater than "
                f"index_from + 1, {self.index_from + 1}, or no word is left"
            )
        return self


class Bigrams(Section):
    units: int = Field(
        ge=0,
        le=4096,
        description="size of a bigram's vector, read with that of its second word, whose first "
        "value begins as its log-ratio by naive Bayes (Wang and Manning 2012); 0: none",
    )
    buckets: int = Field(
        ge=1,
        le=2**24,
        description="vectors that all bigrams share by their hash (Joulin et al. 2017): more keep "
        "them apart better, and take more memory",
    )


class Dropout(Section):
    word: float = Field(
        ge=0,
        lt=1,
        description="entire words, the start mark among them, become unknown_token; padding stays",
    )
    embedding: float = Field(ge=0, lt=1, description="entire embedding channels (spatial dropout)")
    input: float = Field(ge=0, lt=1, description="the cell's inputs")
    recurrent: float = Field(
        ge=0,
        lt=1,
        description="the cell's recurrent state; rules out the fast path and the fast kernels",
    )
    head: float = Field(ge=0, lt=1, description="the vector that the classifier reads")


class EarlyStopping(Section):
    patience: int = Field(
        ge=0,
        description="epochs without improvement before stopping, best weights kept; 0: never stop "
        "early",
    )
    monitor: Literal["val_loss", "val_accuracy"] = Field(description="metric that has to improve")
    min_delta: float = Field(ge=0, description="least change that counts as an improvement")


class Schedule(Section):
    kind: Literal["constant", "cosine"] = Field(
        description="cosine lets it fall to 0 until the last of train.epochs (Loshchilov and "
        "Hutter 2017)"
    )
    warmup_epochs: float = Field(
        ge=0,
        le=1000,
        description="epochs at the start in which it rises from 0; 0.5 is half an epoch",
    )


class Train(Section):
    embedding_units: int = Field(ge=1, le=4096, description="size of a word's vector")
    embedding_initializer: Literal["uniform", "cooccurrence"] = Field(
        description="the vectors before training: random as in Keras, or from which words occur "
        "near each other in what is trained on (Levy et al. 2015), which takes some 10 s"
    )
    bigrams: Bigrams = Field(description="vectors of bigrams beside those of words")
    cell: Literal["lstm", "gru", "simple_rnn"] = Field(description="recurrent layer")
    units: int = Field(ge=1, le=4096, description="size of the recurrent state, for each direction")
    layers: int = Field(
        ge=1, le=16, description="recurrent layers, each of which reads the states of the one below"
    )
    forget_bias: float = Field(
        ge=-10,
        le=10,
        description="bias of an LSTM's forget gate before training: 1 as in Keras keeps 73 % of "
        "the cell a step, 3 keeps 95 %",
    )
    recurrent_initializer: Literal["orthogonal", "glorot_uniform", "identity"] = Field(
        description="recurrent weights before training: orthogonal, as in Keras, keeps the length "
        "of what it multiplies"
    )
    bidirectional: bool = Field(description="read each review backwards too")
    mask_padding: bool = Field(
        description="skip padding, as Keras does with mask_zero: a state stays as it is there, "
        "and pooling leaves it out"
    )
    segment_length: int = Field(
        ge=0,
        le=10_000,
        description="a review is read in segments of so many tokens, each from a new state, and "
        "the states of all are pooled (Johnson and Zhang 2016); 0: in one",
    )
    pooling: Literal["last", "max", "mean", "max+mean"] = Field(
        description="how the states of all steps become one vector"
    )
    dropout: Dropout = Field(
        description="shares of values set to zero in training; 0 switches it off"
    )
    label_smoothing: float = Field(
        ge=0,
        lt=1,
        description="share of each label that becomes one half, so that no answer has to be "
        "certain; val_loss has it too, so compare val_accuracy",
    )
    class_weight: Literal["none", "balanced"] = Field(
        description="what a review counts in the training loss: with none each the same, with "
        "balanced both labels the same in all, however rare one is"
    )
    adversarial: float = Field(
        ge=0,
        le=1000,
        description="each step learns also from its reviews with their vectors shifted so far "
        "towards a wrong answer, in root mean squares of the word vectors' values (Miyato et al. "
        "2017); takes twice as long; 5 is usual, 0: off",
    )
    optimizer: Literal["adam", "adamw", "nadam", "rmsprop", "sgd"] = Field(
        description="how the weights are updated, with Keras' defaults for what is not set here"
    )
    learning_rate: float = Field(gt=0, le=10, description="step size; 0.001 is Adam's usual one")
    schedule: Schedule = Field(description="how the learning rate changes from step to step")
    weight_decay: float = Field(
        ge=0,
        lt=1,
        description="share of each weight, times the learning rate, that every step takes away "
        "(Loshchilov and Hutter 2019); Keras' adamw has 0.004",
    )
    clip_norm: float = Field(
        ge=0,
        le=1_000_000,
        description="a gradient of all weights that is longer is shortened to this, so that an "
        "exploding one does not ruin them; 0: as it is",
    )
    average: float = Field(
        ge=0,
        lt=1,
        description="momentum of a moving average of the weights, which is what is validated and "
        "saved: 0.998 averages about the last 500 steps; 0: the weights themselves",
    )
    epochs: int = Field(ge=1, le=1000, description="passes over the training part, at most")
    batch_size: int = Field(ge=1, le=1_000_000, description="reviews per gradient step")
    validation_batch_size: int = Field(
        ge=1,
        le=1_000_000,
        description="reviews per validation step: faster than batch_size, same metrics",
    )
    validation_split: float = Field(
        gt=0, lt=1, description="last share of the training reviews, never trained on"
    )
    early_stopping: EarlyStopping = Field(description="ends a training that no longer improves")
    keep_best: bool = Field(
        description="keep the weights of the best epoch by early_stopping.monitor, without "
        "stopping early"
    )
    gradient_reviews: int = Field(
        ge=1,
        le=100_000,
        description="reviews on which to measure how far back the gradient reaches, before the "
        "first epoch and in the evaluation: more narrow its error, and take longer",
    )
    seed: int = Field(ge=0, lt=SEED_LIMIT, description="initial weights, batch order and dropout")
    deterministic: bool = Field(
        description="only operations that give the same bits each time; costs little on a CPU"
    )
    accelerate: bool = Field(
        description="on a CPU, train by sentiment/network/fast.py, 1.3 to 2.4 times as fast; "
        "false: by stock Keras",
    )

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
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
        return self

    @model_validator(mode="after")
    def _gates_are_there(self) -> Self:
        if self.cell != "lstm" and self.forget_bias != KERAS_FORGET_BIAS:
            raise ValueError(
                f"forget_bias {self.forget_bias:g} needs cell lstm: a {self.cell} has no forget "
                f"gate. Set it to {KERAS_FORGET_BIAS:g}"
            )
        return self


class Evaluate(Section):
    batch_size: int = Field(
        ge=1,
        le=1_000_000,
        description="reviews per prediction step, here and in the served model; one text takes "
        "as long as these",
    )
    threshold: float = Field(
        gt=0, lt=1, description="probability above which a review counts as positive"
    )
    length_buckets: list[int] = Field(
        min_length=1,
        description="words: rising upper bounds of the groups in accuracy by review length",
    )
    calibration_bins: int = Field(
        ge=2,
        le=1000,
        description="groups of equal width in the reliability curve and the calibration error",
    )
    mistakes: int = Field(
        ge=0, le=10_000, description="most confident wrong answers to list with their text"
    )
    log_texts: bool = Field(
        description="whether the texts of wrong answers are in the tables and pages that are "
        "logged; false keeps texts on this machine"
    )
    roc_points: int = Field(
        ge=2,
        le=1_000_000,
        description="most points of the ROC curve's table, which git keeps; more look the same",
    )
    figure_dpi: int = Field(ge=20, le=1200, description="dots per inch of each plot")
    figure_width: float = Field(ge=1, le=100, description="inches")
    figure_height: float = Field(ge=1, le=100, description="inches")

    @field_validator("length_buckets")
    @classmethod
    def _buckets_rise(cls, bounds: list[int]) -> list[int]:
        if any(low >= high for low, high in pairwise([0, *bounds])):
            raise ValueError("Bounds must be positive and rise from each to the next")
        return bounds


class Compare(Section):
    confidence: float = Field(gt=0, lt=1, description="confidence level of every interval")
    bootstrap_samples: int = Field(
        ge=100,
        le=1_000_000,
        description="resamples of the paired bootstrap: more narrow the interval's own error, and "
        "take longer",
    )
    bootstrap_seed: int = Field(ge=0, lt=SEED_LIMIT, description="same seed, same interval")
    examples: int = Field(
        ge=0,
        le=1000,
        description="reviews to show that one run gets right and the other wrong, of each kind",
    )


class Values(Section):
    """Values of a parameter to search: `choices`, or the numbers from `low` to `high`."""

    choices: list[bool | int | float | str] | None = Field(
        default=None, min_length=1, description="the values"
    )
    low: int | float | None = Field(default=None, description="the least number")
    high: int | float | None = Field(default=None, description="the greatest number")
    step: int | float | None = Field(
        default=None,
        gt=0,
        description="between two neighbours; without it any number, of an integer every one",
    )
    log: bool = Field(
        default=False,
        description="search evenly in the logarithm, for what matters by its factor",
    )

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.choices is None) == (self.low is None) or (self.low is None) != (
            self.high is None
        ):
            raise ValueError("give either choices, or low and high")
        if self.low is None or self.high is None:
            return self
        if self.high < self.low:
            raise ValueError(f"high {self.high} must be at least low {self.low}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs a low above 0, and no step")
        return self


class Confirm(Section):
    top: int = Field(ge=1, le=100, description="the best trials that are trained again")
    seeds: int = Field(
        ge=2,
        le=100,
        description="trainings of each, under the seeds after train.seed: the best mean wins, for "
        "the best single one owes something to luck",
    )


class Sweep(Section):
    metric: Literal["val_loss", "val_accuracy"] = Field(
        description="of the kept epoch, what decides: never the test set"
    )
    sampler: Literal["tpe", "random"] = Field(
        description="how values are drawn: tpe learns from the trials so far (Bergstra et al. 2011)"
    )
    pruner: Literal["halving", "none"] = Field(
        description="halving ends trials early that others beat after as many epochs (Li et al. "
        "2020)"
    )
    min_epochs: int = Field(ge=1, le=1000, description="epochs before a trial can be pruned")
    reduction: int = Field(
        ge=2, le=100, description="of so many trials one is trained so many times longer"
    )
    seed: int = Field(ge=0, lt=SEED_LIMIT, description="of the draws")
    confirm: Confirm = Field(description="the best trials under further seeds")
    space: dict[str, Values] = Field(
        min_length=1,
        description="parameters of pad and train, each with choices, or low and high, and step or "
        "log",
    )


class LinearModels(Section):
    min_reviews: int = Field(
        ge=1,
        le=1_000_000,
        description="words and bigrams in fewer training reviews are left out: what one review "
        "alone has says nothing",
    )
    tfidf_c: float = Field(
        gt=0,
        le=1_000_000,
        description="of the model by TF-IDF: the inverse strength of regularization, as in "
        "scikit-learn",
    )
    naive_bayes_c: float = Field(
        gt=0,
        le=1_000_000,
        description="the same of the model by naive-Bayes weights, whose values are far larger",
    )
    smoothing: float = Field(
        gt=0,
        le=1000,
        description="reviews of each class that every word and bigram is counted in beside those "
        "that have it",
    )
    max_iterations: int = Field(
        ge=1,
        le=100_000,
        description="steps in which the solver (L-BFGS) has to converge",
    )


class Predict(Section):
    words: int = Field(
        ge=0,
        le=1000,
        description="words to name that moved an answer most; 0 saves the time to find them",
    )


class Promote(Section):
    alpha: float = Field(
        gt=0,
        lt=1,
        description="significance level of all tests against one champion together: the p of "
        "McNemar's exact test must be below it divided by k(k+1) for the k-th candidate",
    )
    calibration_margin: float = Field(
        ge=0,
        le=1,
        description="by how much the expected calibration error may be greater than the champion's",
    )


class Params(Section):
    moved: ClassVar[Mapping[str, str]] = {
        "memory": "Remove the section: its values are constants in benchmarks/memory.py now"
    }

    fetch: Fetch = Field(
        description="the reviews: IMDB as Keras publishes it, a generated set, or your own texts"
    )
    pad: Pad = Field(description="from words to arrays of token ids, all of one length")
    train: Train = Field(description="the network and its training")
    evaluate: Evaluate = Field(description="the test set: metrics, tables and plots")
    compare: Compare = Field(
        description="when `make compare` says that one run is better, see docs/comparing.md"
    )
    sweep: Sweep = Field(description="what `make sweep` searches, see docs/sweeps.md")
    linear: LinearModels = Field(
        description="the linear models of baseline/dvc.yaml, see docs/accuracy.md"
    )
    predict: Predict = Field(description="what `make predict` prints")
    promote: Promote = Field(
        description="when an evaluated model becomes `champion`, see docs/serving.md; a "
        "change runs `evaluate` again",
    )

    @model_validator(mode="after")
    def _sections_go_together(self) -> Self:
        segment = self.train.segment_length
        if segment and self.pad.max_length % segment:
            raise ValueError(
                f"pad.max_length {self.pad.max_length} must be a multiple of "
                f"train.segment_length {segment}, so that all segments are equally long"
            )
        if self.train.mask_padding and self.pad.padding_token:
            raise ValueError(
                f"train.mask_padding needs pad.padding_token 0, which Keras masks, not "
                f"{self.pad.padding_token}"
            )
        vectors, units = self.train.embedding_initializer, self.train.embedding_units
        if vectors == "cooccurrence" and units >= self.pad.num_words:
            raise ValueError(
                f"train.embedding_initializer cooccurrence needs train.embedding_units {units} "
                f"below pad.num_words {self.pad.num_words}: there are no more dimensions than words"
            )
        return self

    @model_validator(mode="after")
    def _space_is_allowed(self) -> Self:
        problems = [
            f"{name}: {problem}"
            for name, values in self.sweep.space.items()
            for problem in _space_problems(name, values)
        ]
        if self.sweep.metric == "val_loss" and "train.label_smoothing" in self.sweep.space:
            problems.append(
                "train.label_smoothing: it changes val_loss itself. Let sweep.metric be "
                "val_accuracy"
            )
        if problems:
            raise ValueError(f"sweep.space: {'; '.join(problems)}")
        return self


def _space_problems(name: str, values: Values) -> Iterator[str]:
    """What is wrong with the values that are searched of a parameter."""
    info = parameter(name)
    if info is None or name.split(".")[0] not in SEARCHED:
        yield f"unknown, or not one of {' or '.join(SEARCHED)}"
        return
    if name in NOT_SEARCHED:
        yield NOT_SEARCHED[name]
        return
    if values.choices is None and info.annotation not in (int, float):
        yield "not a number: give choices"
        return
    if info.annotation is int and values.step is not None and values.step != int(values.step):
        yield f"step {values.step!r} is no integer"
    annotated: Any = Annotated[info.annotation, info]
    allowed: Any = TypeAdapter(annotated, config={"strict": True})
    tried: list[Any] = [values.low, values.high]
    for value in values.choices or tried:
        try:
            allowed.validate_python(value)
        except ValidationError as error:
            yield f"{value!r} is not allowed. {error.errors()[0]['msg']}"


def parameter(name: str) -> FieldInfo | None:
    """What is known of the parameter of this dotted name; None if there is none."""
    model: Any = Params
    info: FieldInfo | None = None
    for part in name.split("."):
        info = getattr(model, "model_fields", {}).get(part)
        if info is None:
            return None
        model = info.annotation
    return None if hasattr(model, "model_fields") else info


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check all of `params.yaml`; raises UserError as `sentiment.settings.load` does."""
    return settings.load(Params, path)


def check_params(document: Any, source: str) -> Params:
    """Check a parsed document of `source`; raises UserError as `load_params` does."""
    return settings.check(Params, document, source)


def changed(params: Params, changes: Mapping[str, Any]) -> Params:
    """The params with other values, by their dotted names.

    Raises:
        UserError: there is no such parameter, or the values are not allowed.
    """
    document = params.model_dump()
    for name, value in changes.items():
        *sections, key = name.split(".")
        section = document
        for part in sections:
            section = section.setdefault(part, {})
        section[key] = value
    return check_params(document, f"{PARAMS_FILE} with {dict(changes)}")


def flatten(section: BaseModel, prefix: str) -> dict[str, Any]:
    """Return a section's values by their dotted `params.yaml` names."""
    flat: dict[str, Any] = {}
    for key, value in section:
        name = f"{prefix}.{key}"
        flat |= flatten(value, name) if isinstance(value, BaseModel) else {name: value}
    return flat


def shaping_data(params: Fetch) -> dict[str, Any]:
    """The parameters that the data depends on, by their dotted names.

    Where it was read from is not among them: the digest says what it is.
    """
    flat = flatten(params, "fetch")
    shaping = {
        "imdb": ("fetch.archive_", "fetch.word_"),
        "synthetic": ("fetch.synthetic.",),
        "table": ("fetch.table.",),
    }[params.dataset]
    known = {name: value for name, value in flat.items() if name.startswith(shaping)}
    names = {f"fetch.table.{part}" for part in ("train", "test")} & known.keys()
    files = {name: file_name(known[name]) for name in names}
    return {"fetch.dataset": params.dataset, **known, **files}


def dataset_name(shaping: Mapping[str, Any]) -> str:
    """What the data set is called that these parameters shaped, by their dotted names."""
    dataset = str(shaping["fetch.dataset"])
    return str(shaping["fetch.table.train"]) if dataset == "table" else dataset


def tokenizer_of(shaping: Mapping[str, Any]) -> str:
    """How the texts of the data set that these parameters shaped were split into words."""
    return str(shaping.get("fetch.table.tokenizer", "keras"))
