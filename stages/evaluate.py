"""Stage 4: compute the metrics, tables and plots of the test set, and register the model.

Writes `data/evaluate/`: `metrics.json`, `predictions.csv`, `mistakes.csv`, `labels.csv` (metrics of
each label) and the plots; and `metrics/`: `evaluate.json` (the metrics to compare) and the tables
behind the plots. Then logs them to the training's run.

The training's curves are drawn here, so that restyling a plot does not retrain.
"""

import csv
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from numpy.typing import NDArray

from sentiment.evaluation.gradients import NO_GRADIENTS, measure_gradients
from sentiment.evaluation.results import (
    Results,
    evaluate_gradients,
    evaluate_predictions,
    evaluate_training,
    insert_texts,
    predictions_table,
    reviews_table,
)
from sentiment.model.build import build_seeded_model
from sentiment.prediction.keras_classifier import BatchPredictor, load_keras_model
from tracking.publish import publish_stage
from workflow import paths
from workflow.arrays import read_array, read_reviews
from workflow.documents import (
    guard_formulas,
    new_folder,
    read_json,
    read_table,
    write_compared_metrics,
    write_json,
)
from workflow.inputs import EvaluateInputs, ModelInputs, TrainingInputs, read_inputs, write_inputs
from workflow.naming import training_name
from workflow.params_file import load_params
from workflow.paths import EVALUATE_FOLDER, FETCH_FOLDER, PAD_FOLDER, TRAIN_FOLDER
from workflow.presets import valid_presets
from workflow.stage import SignalFlag
from workflow.training_key import check_training

if TYPE_CHECKING:
    import keras

COMPARED_TEST_METRICS = ("test_accuracy", "test_loss", "test_roc_auc")
MACRO_METRICS = ("test_f1",)  # compared as well if there are more than two labels
TABLES_IN_DATA = ("predictions", "mistakes", "labels")  # large, private or not for DVC's plots


def write_table(table: pd.DataFrame, name: str) -> None:
    """Write a table as CSV."""
    if "text" in table:
        table = table.assign(text=guard_formulas(table["text"]))
    folder = EVALUATE_FOLDER if name in TABLES_IN_DATA else paths.METRICS_FOLDER
    # With texts, all are quoted: pandas writes a carriage return unquoted, and reads it as an end.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if "text" in table else csv.QUOTE_MINIMAL
    table.to_csv(folder / f"{name}.csv", index=False, quoting=quoting)


def gradients_before_and_after(
    model: "keras.Model", inputs: TrainingInputs, x: NDArray[Any]
) -> pd.DataFrame:
    """Return the gradients of a network before and after its training. A linear model has none.

    Args:
        x: token ids of the test set, shape (reviews, max_length).
    """
    if inputs.train.architecture == "linear":
        return NO_GRADIENTS
    initial_model = build_seeded_model(inputs.train, inputs.pad, len(inputs.label_names))
    return measure_gradients(model, initial_model, x)


def write_results(results: Results, inputs: EvaluateInputs) -> None:
    """Write metrics, tables and plots, and what they depend on."""
    folder = new_folder(EVALUATE_FOLDER)
    for table_name, table in results.tables.items():
        write_table(table, table_name)
    for plot_name, plot in results.plots.items():
        plot.savefig(folder / f"{plot_name}.png")
    write_json(folder / paths.METRICS_NAME, results.metrics)
    names = [*COMPARED_TEST_METRICS, *(MACRO_METRICS if len(inputs.label_names) > 2 else [])]
    write_compared_metrics(EVALUATE_FOLDER.name, results.metrics, names)
    write_inputs(folder, inputs)


def main(_: SignalFlag) -> None:
    all_params = load_params()
    params = all_params.evaluate
    train_inputs = read_inputs(TRAIN_FOLDER, ModelInputs)
    check_training(train_inputs, all_params.train)
    x = read_array(PAD_FOLDER / "x_test.npy")
    y = read_array(PAD_FOLDER / "y_test.npy")
    reviews = read_reviews(FETCH_FOLDER, "test")
    model = load_keras_model(paths.MODEL_FILE)

    review_rows = reviews_table(
        reviews,
        unranked_words=read_array(FETCH_FOLDER / "test_unranked_words.npy"),
        layout=train_inputs.pad.layout,
        order=read_array(PAD_FOLDER / "test_order.npy"),
        seen=read_array(PAD_FOLDER / "test_seen.npy"),
    )
    probabilities = BatchPredictor(model)(x)
    predictions = predictions_table(
        review_rows, y, probabilities, train_inputs.label_names, params.threshold
    )
    name = training_name(valid_presets(), train_inputs.fetch, train_inputs.pad, train_inputs.train)
    results = evaluate_predictions(predictions, name)
    if params.log_texts:
        insert_texts(results.tables["mistakes"], reviews, read_json(paths.WORD_INDEX_FILE))
    gradients = gradients_before_and_after(model, train_inputs, x)
    results = results.join(evaluate_training(read_table(paths.HISTORY_FILE), name))
    results = results.join(evaluate_gradients(gradients, name))

    write_results(results, EvaluateInputs(**dict(train_inputs), evaluate=params))
    print(f"Test Accuracy: {results.metrics['test_accuracy']:.4f}", flush=True)
    if len(train_inputs.label_names) > 2:
        print(f"Test macro F1: {results.metrics['test_f1']:.4f}", flush=True)
    run = publish_stage(all_params.promote.alpha)
    if run is not None:
        print(run.describe())
