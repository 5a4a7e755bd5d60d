"""Stage 4: compute the metrics, tables and plots of the test set, register the model, and decide
whether it becomes the champion.

Writes `data/evaluate/`: `metrics.json`, `predictions.csv`, `mistakes.csv`, `labels.csv` (metrics of
each label) and the plots; and `metrics/`: `evaluate.json` (the metrics to compare) and the tables
behind the plots. Then logs them to the training's run.

The training's curves are drawn here, so that restyling a plot does not retrain.
"""

from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray

from sentiment.evaluation.gradients import NO_GRADIENTS, measure_gradients
from sentiment.evaluation.results import (
    Results,
    evaluate_predictions,
    plot_training,
    predictions_table,
    reviews_table,
    summarize_gradients,
    texts_of,
)
from sentiment.model.build import build_model
from sentiment.prediction.keras_classifier import BatchPredictor, load_keras_model
from sentiment.project import paths
from sentiment.project.arrays import read_array, read_reviews
from sentiment.project.consistency import check_training
from sentiment.project.documents import (
    new_folder,
    read_json,
    read_table,
    write_compared_metrics,
    write_json,
    write_table,
)
from sentiment.project.manifest import (
    EvaluateManifest,
    ModelManifest,
    TrainingManifest,
    read_manifest,
    write_manifest,
)
from sentiment.project.params_file import load_params
from sentiment.project.paths import EVALUATE_FOLDER, FETCH_FOLDER, PAD_FOLDER, TRAIN_FOLDER
from sentiment.project.signals import SignalFlag
from sentiment.tracking.publish import publish_stage

if TYPE_CHECKING:
    import keras

COMPARED_TEST_METRICS = ("test_accuracy", "test_loss", "test_roc_auc")
MACRO_METRICS = ("test_f1",)  # compared as well if there are more than two labels
TABLES_IN_DATA = ("predictions", "mistakes", "labels")  # large, private or not for DVC's plots


def gradients_before_and_after(
    model: "keras.Model", manifest: TrainingManifest, x: NDArray[Any]
) -> pd.DataFrame:
    """Return the gradients of a network before and after its training. A linear model has none.

    Args:
        x: token ids of the test set, shape (reviews, max_length).
    """
    if manifest.train.architecture == "linear":
        return NO_GRADIENTS
    initial_model = build_model(manifest.train, manifest.pad, len(manifest.label_names))
    return measure_gradients(model, initial_model, x)


def write_results(results: Results, manifest: EvaluateManifest) -> None:
    """Write metrics, tables and plots, and what they depend on."""
    folder = new_folder(EVALUATE_FOLDER)
    for table_name, table in results.tables.items():
        place = folder if table_name in TABLES_IN_DATA else paths.METRICS_FOLDER
        write_table(place / f"{table_name}.csv", table)
    for plot_name, plot in results.plots.items():
        plot.savefig(folder / f"{plot_name}.png")
    write_json(folder / paths.METRICS_NAME, results.metrics)
    names = [*COMPARED_TEST_METRICS, *(MACRO_METRICS if len(manifest.label_names) > 2 else [])]
    write_compared_metrics(EVALUATE_FOLDER.name, results.metrics, names)
    write_manifest(folder, manifest)


def main(_: SignalFlag) -> None:
    all_params = load_params()
    params = all_params.evaluate
    manifest = read_manifest(TRAIN_FOLDER, ModelManifest)
    check_training(manifest, all_params.train)
    x = read_array(PAD_FOLDER / "x_test.npy")
    y = read_array(PAD_FOLDER / "y_test.npy")
    reviews = read_reviews(FETCH_FOLDER, "test")
    model = load_keras_model(paths.MODEL_FILE)

    review_rows = reviews_table(
        reviews,
        unranked_words=read_array(FETCH_FOLDER / "test_unranked_words.npy"),
        layout=manifest.pad.layout,
        order=read_array(PAD_FOLDER / "test_order.npy"),
        seen=read_array(PAD_FOLDER / "test_seen.npy"),
    )
    probabilities = BatchPredictor(model)(x)
    predictions = predictions_table(
        review_rows, y, probabilities, manifest.label_names, params.threshold
    )
    results = evaluate_predictions(predictions)
    if params.log_texts:
        word_index = read_json(paths.WORD_INDEX_FILE)
        results = results.with_texts(texts_of(results.tables["mistakes"], reviews, word_index))
    gradients = gradients_before_and_after(model, manifest, x)
    results = results.join(plot_training(read_table(paths.HISTORY_FILE)))
    results = results.join(summarize_gradients(gradients))

    write_results(results, EvaluateManifest(**dict(manifest), evaluate=params))
    print(f"Test Accuracy: {results.metrics['test_accuracy']:.4f}", flush=True)
    if len(manifest.label_names) > 2:
        print(f"Test macro F1: {results.metrics['test_f1']:.4f}", flush=True)
    run = publish_stage(all_params.promote.alpha)
    if run is not None:
        print(run.describe())
