"""The space that `sentiment sweep` searches. Edit it: another space is another sweep.

Optuna's page says which `suggest` functions there are, and how a value may depend on another one:
https://optuna.readthedocs.io/en/stable/tutorial/10_key_features/002_configurations.html
"""

from typing import Any

from optuna import Trial


def draw(trial: Trial) -> dict[str, Any]:
    """Return values of params of pad and train, by dotted name."""
    return {
        # around Adam's usual 0.001
        "train.learning_rate": trial.suggest_float("learning_rate", 0.0003, 0.01, log=True),
        # smaller: noisier steps, slower epochs
        "train.batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
        # more units remember more, and overfit sooner
        "train.units": trial.suggest_categorical("units", [32, 64, 128]),
        # most of the weights are here
        "train.embedding_units": trial.suggest_categorical("embedding_units", [32, 64, 128]),
        # reading in both directions takes twice as long
        "train.bidirectional": trial.suggest_categorical("bidirectional", [False, True]),
        # a review's verdict may come early
        "train.pooling": trial.suggest_categorical("pooling", ["last", "max", "mean"]),
        # the default model overfits
        "train.dropout.embedding": trial.suggest_float("dropout.embedding", 0.0, 0.6, step=0.1),
        "train.dropout.head": trial.suggest_float("dropout.head", 0.0, 0.6, step=0.1),
    }
