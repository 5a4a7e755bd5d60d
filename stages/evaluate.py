"""Stage 4: the test set, once; figures, tables and pictures, added to the training's run.

Writes `data/evaluate/`: `metrics.json`; `cost.json` (what an answer takes); `probabilities.npy`
(of being positive, float32, in the order of `x_test.npy`); the tables `predictions.csv`,
`confusion.csv`, `roc.csv`, `reliability.csv`, `lengths.csv` and `mistakes.csv`; the pictures
`accuracy.png`, `loss.png`, `roc.png`, `reliability.png`, `confusion.png` and `lengths.png`.
Drawing the curves here keeps a change of their looks from training anew.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages import checkpoint, command, figures, files, packaging, registry, scores, tracking
from stages.backend import load_keras
from stages.command import UserError
from stages.params import Evaluate, Promote, flatten, load_params
from stages.predictor import Predictor
from stages.reviews import FIELDS, TEST_DATA, read_reviews
from stages.sequences import Reviews

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

FOLDER = files.DATA / "evaluate"
FETCH, PAD, TRAIN = files.DATA / "fetch", files.DATA / "pad", files.DATA / "train"


class TestSet(NamedTuple):
    """The test part, all but `reviews` in the order of the padded arrays.

    Attributes:
        x: token ids, shape (reviews, max_length).
        y: labels, shape (reviews,), 1 = positive.
        order: where each review stands in `reviews`, shape (reviews,).
        seen: whether each also occurs in training, shape (reviews,).
        reviews: all reviews whole, as `fetch` wrote them.
        digest: short digest of x and y.
    """

    x: NDArray[Any]
    y: NDArray[np.uint8]
    order: NDArray[np.int64]
    seen: NDArray[np.bool_]
    reviews: Reviews
    digest: str


class Training(NamedTuple):
    """What `train` wrote, but for the model.

    Attributes:
        params: everything that shaped it, by dotted `params.yaml` names.
        history: see `stages.train.Trained`.
        run: identity of its MLflow run, when it began, and its tags.
    """

    params: dict[str, Any]
    history: pd.DataFrame
    run: dict[str, Any]


class Evaluation(NamedTuple):
    """What is said of the predictions; tables and pictures by the names of their files."""

    probabilities: NDArray[np.float32]
    metrics: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    pictures: dict[str, "Figure"]


def read_test() -> TestSet:
    """Read the test part from `data/pad` and `data/fetch`."""
    x, y, order, seen = files.read_arrays(PAD, ["x_test", "y_test", "test_order", "test_seen"])
    digest = files.short_digest(PAD, ["x_test", "y_test"])
    return TestSet(x, y, order, seen, read_reviews(FETCH, "test"), digest)


def read_words() -> list[str]:
    """Read the vocabulary: the word of frequency rank r is at r; rank 0 has none."""
    index = files.read_json(checked(FETCH / "word_index.json"))
    return ["", *sorted(index, key=index.__getitem__)]


def read_training() -> Training:
    """Read what is known of the training from `data/train`."""
    history = pd.read_csv(checked(TRAIN / "history.csv"))
    run = files.read_json(checked(TRAIN / "run.json"))
    return Training(files.read_about(TRAIN)["params"], history, run)


def read_model() -> "keras.Model":
    """Load the trained model."""
    path = checked(TRAIN / "model.keras")
    return load_keras().saving.load_model(path, compile=False)


def checked(path: Path) -> Path:
    """Return `path` if it is as its stage wrote it; raises UserError otherwise."""
    return files.check(path, files.read_about(path.parent)["files"])


def predict(
    model: "keras.Model", x: NDArray[Any], batch_size: int
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Ask the model for each review's probability of being positive, and time that.

    Args:
        model: see `stages.model.build_model`.
        x: token ids, shape (reviews, max_length).
        batch_size: reviews a step.

    Returns:
        Probabilities, shape (reviews,), and what they took: the model's number of parameters and
        the milliseconds of a review.
    """
    ask = Predictor(model, batch_size)
    ask(x[:1])  # compiled at the first step
    begun = time.perf_counter()
    probabilities = ask(x)
    seconds = time.perf_counter() - begun
    cost = {"parameters": model.count_params(), "milliseconds_per_review": 1000 * seconds / len(x)}
    return probabilities, cost


def predictions_table(
    test: TestSet, probabilities: NDArray[np.float32], threshold: float
) -> pd.DataFrame:
    """The table of predictions that `stages.scores` describes, in the order of `test.x`."""
    return pd.DataFrame(
        {
            "review": test.order,
            "actual": scores.class_names(test.y),
            "predicted": scores.class_names(probabilities > threshold),
            "probability": probabilities,
            "words": test.reviews.lengths[test.order],
            "seen_in_training": test.seen,
        }
    )


def with_text(rows: pd.DataFrame, test: TestSet, words: list[str]) -> pd.DataFrame:
    """Add the whole text of each review, before any cut: column `text`."""
    texts = [" ".join(words[rank] for rank in test.reviews[review]) for review in rows["review"]]
    return rows.assign(text=texts)


def evaluate(
    test: TestSet,
    words: list[str],
    training: Training,
    probabilities: NDArray[np.float32],
    params: Evaluate,
) -> Evaluation:
    """Compute every figure, table and picture of the test set."""
    predictions = predictions_table(test, probabilities, params.threshold)
    tables = {
        "predictions": predictions,
        "confusion": scores.confusion_matrix(predictions),
        "roc": scores.roc_curve(predictions),
        "reliability": scores.reliability(predictions, params.calibration_bins),
        "lengths": scores.accuracy_by_length(predictions, params.length_buckets),
        "mistakes": with_text(scores.mistakes(predictions, params.mistakes), test, words),
    }
    dataset = {"dataset": training.params["fetch.dataset"]}
    parts = (tables[name] for name in ("confusion", "lengths", "reliability"))
    metrics = dataset | scores.summary(predictions, *parts)
    return Evaluation(probabilities, metrics, tables, draw(metrics, tables, training, params))


def draw(
    metrics: dict[str, Any], tables: dict[str, pd.DataFrame], training: Training, params: Evaluate
) -> dict[str, "Figure"]:
    """Draw all pictures, each titled with the run's name."""
    name, history = training.run["name"], training.history
    return {
        "accuracy": figures.curve(history, "accuracy", name, params),
        "loss": figures.curve(history, "loss", name, params),
        "roc": figures.roc_curve(tables["roc"], metrics["test_roc_auc"], name, params),
        "reliability": figures.reliability(
            tables["reliability"], metrics["test_ece"], name, params
        ),
        "confusion": figures.confusion_matrix(tables["confusion"], name, params),
        "lengths": figures.length_bars(tables["lengths"], metrics["test_accuracy"], name, params),
    }


def write(folder: Path, evaluation: Evaluation) -> None:
    """Write metrics, probabilities, tables and pictures into an empty folder."""
    files.write_json(folder / "metrics.json", evaluation.metrics)
    files.write_arrays(folder, {"probabilities": evaluation.probabilities})
    for name, table in evaluation.tables.items():
        table.to_csv(folder / f"{name}.csv", index=name == "confusion")
    for name, picture in evaluation.pictures.items():
        picture.savefig(folder / f"{name}.png")


def log(tracker: tracking.Tracker, metrics: dict[str, Any], test: TestSet, rule: Promote) -> None:
    """Log what `data/evaluate` holds, leaving the run's status and its end time alone.

    The model is registered as it is served, and the rule decides whether it is the new champion.
    """
    dataset = f"{metrics['dataset']}-test"
    tracker.log(tracking.log_dataset, dataset, "test", (test.x, test.y), PAD, test.digest)
    tracker.log(tracking.log_figures, numbers(metrics), dataset, test.digest)
    names = sorted(path.name for path in FOLDER.iterdir() if path.name != files.ABOUT)
    tracker.log(tracking.log_folder, FOLDER, [*names, files.ABOUT], FOLDER.name)
    tracker.log(registry.register, served_parts(), FOLDER, version_tags(metrics), rule)
    outputs = tracking.COMPLETE.format("evaluate")
    tracker.log(tracking.set_tags, {outputs: files.sha256(FOLDER / files.ABOUT)})


def served_parts() -> packaging.Parts:
    """What the served model is made from: the model, the word index, and how both were used."""
    shaping = files.read_about(FOLDER)["params"]
    padding = {k.removeprefix("pad."): v for k, v in shaping.items() if k.startswith("pad.")}
    used = {name: shaping[f"evaluate.{name}"] for name in ("threshold", "batch_size")}
    settings = {"pad": padding, **used}
    index = checked(FETCH / "word_index.json")
    return packaging.Parts(checked(TRAIN / "model.keras"), index, settings)


def version_tags(metrics: dict[str, Any]) -> dict[str, str]:
    """Tags of the registered version: the test's figures, and digests of data and model."""
    figures = {key: str(value) for key, value in metrics.items() if not isinstance(value, dict)}
    training = files.read_about(PAD)["files"]["x_train.npy"]
    return {**figures, **evaluated(), "data.x_train.sha256": training}


def tell_the_run(run_id: str, metrics: dict[str, Any], test: TestSet, rule: Promote) -> None:
    """Add the evaluation to the training's run; that no store has it is no failure.

    The figures are on disk all the same, after a clone, a deleted store or a server that is down.
    """
    try:
        tracking.sweep_store()
        tracker = tracking.recorded(run_id)
    except UserError as error:
        print(f"{error}\nThe figures are in {FOLDER}; `make sync` logs them later.")
        return
    if tracker is None:
        print(f"The store has no run {run_id}: `make sync` makes it from {files.DATA}.")
    else:
        log(tracker, metrics, test, rule)


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """The numbers among the metrics; a nested one is named `group_name`."""
    flat: dict[str, float] = {}
    for key, value in metrics.items():
        if isinstance(value, dict):
            flat |= {f"{key}_{name}": number for name, number in value.items()}
        elif not isinstance(value, str):
            flat[key] = value
    return flat


def evaluated() -> dict[str, str]:
    """Digests of the model and the test set as they are now, to tell later what was evaluated.

    `TEST_DATA` is that of the reviews themselves, however they are cut and padded: models
    that were asked about the same reviews can be compared.
    """
    model = files.read_about(TRAIN)["files"]["model.keras"]
    arrays = files.read_about(PAD)["files"]
    whole = files.joint_digest(FETCH, [f"test_{name}" for name in FIELDS])
    return {
        "model.sha256": model,
        "data.x_test.sha256": arrays["x_test.npy"],
        TEST_DATA: whole,
    }


def main() -> None:
    everything = load_params()
    params = everything.evaluate
    test, training = read_test(), read_training()
    checkpoint.clear(training.run["tags"][tracking.KEY])
    probabilities, cost = predict(read_model(), test.x, params.batch_size)
    evaluation = evaluate(test, read_words(), training, probabilities, params)
    with files.replaced(FOLDER) as folder:
        write(folder, evaluation)
        files.write_json(folder / "cost.json", cost)
        files.write_about(folder, training.params | flatten(params, "evaluate") | evaluated())
    tell_the_run(training.run["run_id"], evaluation.metrics, test, everything.promote)
    print(f"Test Accuracy: {evaluation.metrics['test_accuracy']:.4f}")


if __name__ == "__main__":
    command.run("evaluate", main)
