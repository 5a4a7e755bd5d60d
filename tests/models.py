"""Small models, and reviews to train them on."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.model.batches import Split, train_validation_split
from sentiment.model.build import build_model, compile_model
from sentiment.model.linear import MIN_SLOTS, KnownFeatures
from sentiment.model.training import Training, make_deterministic
from sentiment.params import PadParams, TrainParams, merge_params
from tests.small_project import SMALL

if TYPE_CHECKING:
    import keras

    from sentiment.prediction.pyfunc_model import SentimentModel
    from sentiment.text.padding import Layout

WORDS = 20
LENGTH = 6
LINEAR: dict[str, Any] = {
    "architecture": "linear",
    "linear": {"min_reviews": 1, "ending": 0.0},
}
KNOWN = KnownFeatures(
    np.arange(5), np.ones((5, 1)), MIN_SLOTS
)  # of a linear model without training


def train_params(**changes: Any) -> TrainParams:
    """Return params of a small network."""
    document = merge_params(TrainParams().model_dump(), {**SMALL["train"], "cell": "lstm"})
    return TrainParams.model_validate(merge_params(document, changes))


def pad_params(num_words: int = WORDS, max_length: int = LENGTH) -> PadParams:
    """Return params of short reviews."""
    return PadParams(num_words=num_words, max_length=max_length)


def new_model(
    pad: PadParams | None = None,
    seed: int = 1,
    label_count: int = 2,
    known: KnownFeatures = KNOWN,
    **train: Any,
) -> "keras.Model":
    """Return an untrained model with the weights of a seed."""
    params = train_params(**{"seed": seed, **train})
    features = known if params.architecture == "linear" else None
    make_deterministic(seed)
    model = build_model(params, pad or pad_params(), label_count, known=features)
    compile_model(model, params, reviews=160)
    return model


def reviews() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return 200 reviews without padding, and their labels."""
    x = np.random.default_rng(0).integers(0, WORDS, (200, LENGTH)).astype(np.uint16)
    return x, (x[:, 0] > 9).astype(np.uint8)


def splits() -> tuple[Split, Split]:
    """Return the training set and the validation set of `reviews`."""
    return train_validation_split(*reviews(), 0.2)


def new_training(
    train_split: Split | None = None,
    label_count: int = 2,
    vectors: NDArray[np.float32] | None = None,
    **changes: Any,
) -> Training:
    """Return a training before its first epoch."""
    default, val_split = splits()
    params = train_params(**changes)
    make_deterministic(params.seed)
    return Training(params, pad_params(), label_count, train_split or default, val_split, vectors)


def text_model(word_index: dict[str, int], layout: "Layout") -> "SentimentModel":
    """Return an untrained model of raw texts."""
    from sentiment.prediction.keras_classifier import KerasClassifier
    from sentiment.prediction.pyfunc_model import SentimentModel
    from sentiment.text.tokenizer import KERAS

    model = SentimentModel()
    model.word_index = word_index
    model.tokenizer = KERAS
    model.label_names = ["negative", "positive"]
    model.threshold = 0.5
    model.layout = layout
    model.classifier = KerasClassifier(new_model(), layout)
    return model


def half_known_vectors() -> NDArray[np.float32]:
    """Return word vectors of size 3. Half of the token ids have none."""
    table = np.random.default_rng(1).normal(size=(WORDS, 3)).astype(np.float32)
    table[::2] = 0
    return table


def trained(vectors: NDArray[np.float32] | None, **changes: Any) -> Training:
    """Return a training after its last epoch."""
    training = new_training(vectors=vectors, **changes)
    training.fit(lambda: None)
    return training
