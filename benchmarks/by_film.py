"""`python -m benchmarks.by_film`: the model of params.yaml on films that it has not learned from.

In Keras' archive, before the shuffle, reviews of one film with the same label stand together: the
last fifth of each label has films of its own. Reviews of these films with the other label are
learned from, so that what is measured is too low; it is for comparing params.

Run `dvc repro pad` before. Prints accuracy and loss of the linear model of `train.wide`, if there
is one, of the network, and of both.
"""

from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.network.batches import Split
from sentiment.network.model import model_inputs
from sentiment.network.progress import NO_PROGRESS
from sentiment.network.training import Training
from sentiment.padding import shuffle_orders
from workflow import commands, files
from workflow.about import AboutPad, read_about
from workflow.files import PAD
from workflow.params import load_params

LEARNED = 0.8  # of each label's reviews


def by_film(x: NDArray[Any], y: NDArray[np.uint8], seed: int) -> tuple[Split, Split]:
    """What to learn from and to validate on: reviews, shuffled by `seed`, and their labels."""
    place, _ = shuffle_orders(len(y), 0, seed)
    first = np.array([place[y == label].min() for label in (0, 1)])
    learned = place - first[y] < LEARNED * np.bincount(y)[y]
    return Split(x[learned], y[learned]), Split(x[~learned], y[~learned])


@commands.command(__doc__)
@click.option("--linear", is_flag=True, help="Only the linear model, without training a network.")
def main(linear: bool) -> None:
    from scipy.special import expit
    from sklearn.metrics import accuracy_score, log_loss

    keras, params = load_keras(), load_params()
    about = read_about(PAD, AboutPad)
    if about.dataset.name != "imdb":
        raise UserError("Only IMDB has its films in order: set fetch.dataset to imdb, add nothing.")
    if linear and not params.train.wide.buckets:
        raise UserError("There is no linear model: set train.wide.buckets above 0.")
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    learning, validation = by_film(x, y, about.pad.shuffle_seed)
    inputs = model_inputs(about.pad, params.train, len(learning.y))
    training = Training(params.train, inputs, learning, validation)
    outputs = {}
    if params.train.wide.buckets:
        outputs["linear"] = training.model.get_layer("wide_log_odds").output
    if not linear:
        training.fit(NO_PROGRESS, lambda _: None)
        outputs["network"] = training.model.get_layer("probability").output
        if params.train.wide.buckets:
            outputs["both"] = training.model.output
    for name, output in outputs.items():
        answers = keras.Model(training.model.input, output).predict(validation.x, verbose=0)[:, 0]
        p = expit(answers.astype(np.float64)) if name == "linear" else answers
        accuracy, loss = accuracy_score(validation.y, p > 0.5), log_loss(validation.y, p)
        print(f"{name}\t{accuracy:.4f}\t{loss:.4f}", flush=True)


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.by_film", main)
