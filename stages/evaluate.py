"""Stage 4: compute the metrics, tables and plots of the test set, and register the model.

Writes `data/evaluate/`: `metrics.json`, `predictions.csv`, `mistakes.csv` and seven plots; and
`metrics/`: `evaluate.json` (the metrics to compare) and the tables behind the plots. Then logs them
to the training's run.

The training's curves are drawn here, so that restyling a plot does not retrain.
"""

import csv
from pathlib import Path
from typing import Literal

import pandas as pd

from sentiment.evaluation.evaluate import (
    TextLookup,
    evaluate_predictions,
    plot_training,
    predictions_table,
)
from sentiment.network.gradients import add_initial_mean, gradient_reach, measure_gradients
from sentiment.padding import layout
from sentiment.prediction.keras_classifier import BatchPredictor, load_keras_model
from sentiment.prediction.tokenizer import ReadLimits, Reviews
from workflow import files
from workflow.files import EVALUATE, FETCH, PAD, TRAIN, EvaluateInputs, TrainInputs
from workflow.params_file import load_params
from workflow.provenance import training_name
from workflow.publish import publish_or_explain
from workflow.stage import SignalFlag

COMPARED_METRICS = ("test_accuracy", "test_loss", "test_roc_auc")
TABLES_FOR_DVC = ("predictions", "mistakes")  # large or private, so DVC keeps them and not git


def text_lookup(reviews: Reviews) -> TextLookup:
    """Return a function from numbers of reviews to their texts, as far as words have a rank."""
    word_index = files.read_json(files.WORD_INDEX_FILE)
    words = {rank: word for word, rank in word_index.items()}
    return lambda numbers: [" ".join(words[rank] for rank in reviews[at]) for at in numbers]


def write_table(table: pd.DataFrame, name: str) -> Path:
    """Write a table as CSV, and return its path."""
    if "text" in table:
        table = table.assign(text=files.guard_formulas(table["text"]))
    folder = EVALUATE if name in TABLES_FOR_DVC else files.METRICS_FOLDER
    # With texts, all are quoted: pandas writes a carriage return unquoted, and reads it as an end.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if "text" in table else csv.QUOTE_MINIMAL
    path = folder / f"{name}.csv"
    table.to_csv(path, index=False, quoting=quoting)
    return path


def main(_: SignalFlag) -> None:
    all_params = load_params()
    params = all_params.evaluate
    files.check_folders(FETCH, PAD, TRAIN)
    train_inputs = files.read_inputs(TRAIN, TrainInputs)
    x = files.read_array(PAD / "x_test.npy")
    y = files.read_array(PAD / "y_test.npy")
    order = files.read_array(PAD / "test_order.npy")
    seen = files.read_array(PAD / "test_seen.npy")
    reviews = files.read_reviews(FETCH, "test")
    dropped = files.read_array(FETCH / "test_dropped.npy")
    model = load_keras_model(files.MODEL_FILE)
    name = training_name(train_inputs.fetch, train_inputs.pad, train_inputs.train)

    gradients = measure_gradients(model, x)
    probabilities = BatchPredictor(model)(x)
    rarer = reviews.count_rarer(ReadLimits.of_layout(layout(train_inputs.pad)).max_rank)
    predictions = predictions_table(
        review=order,
        y=y,
        probabilities=probabilities,
        threshold=params.threshold,
        words=(reviews.lengths + dropped)[order],
        unknown_words=(rarer + dropped)[order],
        seen=seen,
    )
    texts = text_lookup(reviews) if params.log_texts else None
    evaluation = evaluate_predictions(predictions, texts, name)
    history = pd.read_csv(files.HISTORY_FILE)
    initial_gradients = pd.read_csv(files.INITIAL_GRADIENTS_FILE)
    plots = evaluation.plots | plot_training(history, initial_gradients, gradients, name)

    folder = files.new_folder(EVALUATE)
    tables = evaluation.tables | {"gradients": add_initial_mean(gradients, initial_gradients)}
    written = [write_table(table, table_name) for table_name, table in tables.items()]
    for plot_name, plot in plots.items():
        plot.savefig(folder / f"{plot_name}.png")
    metrics = {**evaluation.metrics, "word_gradient_reach": gradient_reach(gradients)}
    written.append(files.write_metrics(folder, metrics, COMPARED_METRICS))
    files.write_inputs(
        folder,
        EvaluateInputs(**dict(train_inputs), evaluate=params),
        made_from=[FETCH, PAD, TRAIN],
        metrics=[path for path in written if path.parent == files.METRICS_FOLDER],
    )
    publish_or_explain(all_params.promote.alpha)
    print(f"Test Accuracy: {metrics['test_accuracy']:.4f}")
