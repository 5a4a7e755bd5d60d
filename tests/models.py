"""Small models, and reviews to train them on."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sentiment.model.batches import Split, train_validation_split
from sentiment.model.build import build_model, compile_model
from sentiment.model.linear import MIN_SLOTS, KnownFeatures
from sentiment.model.training import Training, make_deterministic
from sentiment.params import AnyModel, LinearParams
from sentiment.text.padding import Layout
from tests.params import new_section
from tests.small_project import SMALL, merge_params

if TYPE_CHECKING:
    import keras

    from sentiment.prediction.pyfunc_model import SentimentModel

WORDS = 20
LENGTH = 6
LINEAR: dict[str, Any] = {"model": "linear", "min_reviews": 1, "ending": 0.0}
KNOWN = KnownFeatures(
    np.arange(5), np.ones((5, 1)), MIN_SLOTS
)  # of a linear model without training


def small_section(model: str = "lstm", **changes: Any) -> AnyModel:
    """Return the section of a small model."""
    if model != "lstm":
        small = {"epochs": 2, "batch_size": 32, "learning_rate": 0.001, "schedule": "constant"}
        return new_section(model, **{**small, **changes})
    return new_section(**merge_params({**SMALL["lstm"], "cell": "lstm"}, changes))


def new_layout(num_words: int = WORDS, max_length: int = LENGTH) -> Layout:
    """Return the layout of short reviews."""
    return Layout(num_words, max_length, "pre", "pre")


def new_model(
    layout: Layout | None = None,
    seed: int = 1,
    label_count: int = 2,
    known: KnownFeatures = KNOWN,
    **changes: Any,
) -> "keras.Model":
    """Return an untrained model with the weights of a seed."""
    section = small_section(**changes)
    features = known if isinstance(section, LinearParams) else None
    make_deterministic(seed)
    model = build_model(section, layout or new_layout(), label_count, known=features)
    compile_model(model, section, reviews=160)
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
    seed: int = 42,
    **changes: Any,
) -> Training:
    """Return a training before its first epoch."""
    default, val_split = splits()
    section = small_section(**changes)
    make_deterministic(seed)
    return Training(section, new_layout(), label_count, train_split or default, val_split, vectors)


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
