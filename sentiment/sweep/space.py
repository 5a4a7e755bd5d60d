"""The spaces that `sentiment sweep` searches, one for each architecture. Edit them.

Each suggested name is the dotted name of a param in a section of this architecture. Another space
is another sweep.
Optuna's page says which `suggest` functions there are:
https://optuna.readthedocs.io/en/stable/tutorial/10_key_features/002_configurations.html
"""

from optuna import Trial


def draw(trial: Trial, space: str) -> None:
    """Suggest values of params that an architecture reads."""
    SPACES[space](trial)


def draw_network(trial: Trial) -> None:
    """Suggest values that a recurrent network reads with and without pretrained word vectors."""
    # around Adam's usual 0.001
    trial.suggest_float("learning_rate", 0.0003, 0.01, log=True)
    # smaller: noisier steps, slower epochs
    trial.suggest_int("batch_size", 16, 128, log=True)
    # more units remember more, and overfit sooner
    trial.suggest_int("units", 32, 128, step=32)
    # reading in both directions takes twice as long
    trial.suggest_categorical("bidirectional", [False, True])
    # a review's verdict may come early
    trial.suggest_categorical("pooling", ["last", "max", "mean"])
    # `lstm` overfits
    trial.suggest_float("dropout.embedding", 0.0, 0.6, step=0.1)
    trial.suggest_float("dropout.head", 0.0, 0.6, step=0.1)


def draw_recurrent(trial: Trial) -> None:
    draw_network(trial)
    # most of the weights are here
    trial.suggest_int("embedding_units", 32, 128, step=32)


def draw_with_vectors(trial: Trial) -> None:
    draw_network(trial)
    # few texts cannot improve vectors
    trial.suggest_categorical("freeze_vectors", [False, True])


def draw_linear(trial: Trial) -> None:
    trial.suggest_float("learning_rate", 0.0003, 0.01, log=True)
    trial.suggest_int("batch_size", 16, 128, log=True)
    # words, pairs and triples of words
    trial.suggest_int("ngrams", 1, 3)
    # share of a review, at its end, that is read a second time
    trial.suggest_float("ending", 0.0, 0.5, step=0.05)
    # fewer: more features, some of which are chance
    trial.suggest_int("min_reviews", 1, 5)


def draw_custom(trial: Trial) -> None:
    """Suggest values for the network that sentiment/model/custom.py ships with."""
    trial.suggest_float("learning_rate", 0.0003, 0.01, log=True)
    trial.suggest_int("batch_size", 16, 128, log=True)
    # more filters find more patterns, and overfit sooner
    trial.suggest_int("network.filters", 50, 200, step=50)
    trial.suggest_float("network.dropout", 0.0, 0.7, step=0.1)


SPACES = {
    "recurrent": draw_recurrent,
    "recurrent with vectors": draw_with_vectors,
    "linear": draw_linear,
    "custom": draw_custom,
}
