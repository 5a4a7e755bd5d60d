"""The spaces that `sentiment sweep` searches, one for each architecture. Edit them.

Each suggested name is the dotted name of a param in a section of this architecture. Optuna's page
says which `suggest` functions there are:
https://optuna.readthedocs.io/en/stable/tutorial/10_key_features/002_configurations.html
"""

from optuna import Trial

from sentiment.params import CustomParams, LinearParams, RecurrentParams, TrainingParams


def suggest(trial: Trial, training: TrainingParams, is_fitted: bool, label_count: int) -> None:
    """Suggest values of the params of a section.

    Args:
        training: the present params.
        is_fitted: whether the stages choose batch size and epochs by the size of the table. Then
            neither is searched.
    """
    # around Adam's usual 0.001
    trial.suggest_float("learning_rate", 0.0003, 0.01, log=True)
    if not is_fitted:
        # smaller: noisier steps, slower epochs
        trial.suggest_int("batch_size", 16, 128, log=True)
    if label_count > 2:
        trial.suggest_categorical("class_weight", ["none", "balanced"])
    if isinstance(training.section, RecurrentParams):
        suggest_recurrent(trial, has_vectors=bool(training.vectors))
    elif isinstance(training.section, LinearParams):
        # words, pairs and triples of words
        trial.suggest_int("ngrams", 1, 3)
        # fewer: more features, some of which are chance
        trial.suggest_int("min_reviews", 1, 5)
    elif isinstance(training.section, CustomParams):
        suggest_custom(trial)


def suggest_recurrent(trial: Trial, has_vectors: bool) -> None:
    # more units remember more, and overfit sooner
    trial.suggest_int("units", 32, 128, step=32)
    # reading in both directions takes twice as long
    trial.suggest_categorical("bidirectional", [False, True])
    # a review's verdict may come early
    trial.suggest_categorical("pooling", ["last", "max", "mean"])
    # `lstm` overfits
    trial.suggest_float("dropout.embedding", 0.0, 0.6, step=0.1)
    trial.suggest_float("dropout.head", 0.0, 0.6, step=0.1)
    if has_vectors:
        # few texts cannot improve vectors
        trial.suggest_categorical("freeze_vectors", [False, True])
    else:
        # most of the weights are here
        trial.suggest_int("embedding_units", 32, 128, step=32)


def suggest_custom(trial: Trial) -> None:
    """Suggest arguments of the network that sentiment/model/custom.py ships with."""
    # more filters find more patterns, and overfit sooner
    trial.suggest_int("network.filters", 50, 200, step=50)
    trial.suggest_float("network.dropout", 0.0, 0.7, step=0.1)
