"""Stage 4: compute the metrics, tables and plots of the test set, and log them to the run.

Writes `data/evaluate/`: `metrics.json`, `predictions.csv`, `mistakes.csv`, `labels.csv` (metrics of
each label), `card.md` (what a user of the model should know), `params.json` and the plots; and
`metrics/`: `evaluate.json` (the metrics to compare) and the tables behind the plots.

The training's curves are drawn here, so that restyling a plot does not retrain.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.evaluation.baseline import (
    Baseline,
    most_accurate,
    predict_by_tfidf,
    predict_most_frequent,
)
from sentiment.evaluation.card import describe_evaluation
from sentiment.evaluation.gradients import NO_GRADIENTS, measure_gradients
from sentiment.evaluation.results import (
    Results,
    evaluate_predictions,
    plot_training,
    predictions_table,
    rebuild_texts,
    summarize_gradients,
    texts_table,
)
from sentiment.model.build import build_model
from sentiment.params import EvaluateParams, RecurrentParams
from sentiment.prediction.keras_classifier import BatchPredictor, load_keras_model
from sentiment.project.files.arrays import read_array, read_padded_vectors, read_reviews
from sentiment.project.files.documents import (
    count_formulas,
    describe_guarded_ids,
    new_folder,
    read_json,
    read_parquet,
    read_table,
    write_json,
    write_table,
)
from sentiment.project.files.params_file import changed_error, load_params
from sentiment.project.files.paths import (
    CARD_FILE,
    DATASET_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    PARAMS_FILE,
    PREDICTIONS_FILE,
    TEST_ROWS_FILE,
    Project,
)
from sentiment.project.files.records import (
    FetchedDataset,
    RunRecord,
    read_model_config,
    read_padded_dataset,
    read_record,
    read_run_record,
    write_record,
)
from sentiment.project.training.checkpoint import remove_recorded_checkpoints
from sentiment.terminal import show
from sentiment.text.model_files import WEIGHTS_FILE, WORD_INDEX_FILE, ModelConfig
from sentiment.tracking import store
from sentiment.tracking.results import (
    check_results,
    describe_logged_run,
    log_results,
)

if TYPE_CHECKING:
    import keras

COMPARED_TEST_METRICS = ("test_accuracy", "test_loss", "test_roc_auc")
MACRO_METRICS = ("test_f1",)  # compared as well if there are more than two labels
MAX_TFIDF_TEXTS = 20_000  # training texts of a table; with more, the baseline would take minutes
TABLES_IN_DATA = ("predictions", "mistakes", "labels")  # large, private or not for DVC's plots


def check_dataset(project: Project) -> None:
    """Check that `data/fetch` has the test set that was padded.

    Raises:
        UserError: `data/fetch` has another test set.
    """
    fetched = read_record(project.fetched / DATASET_FILE, FetchedDataset)
    padded = read_padded_dataset(project)
    if fetched.test_set_digest != padded.test_set_digest:
        raise UserError(
            f"{project.padded} was made from another {project.fetched}. Run `dvc repro`."
        )


def gradients_before_and_after(
    model: "keras.Model",
    record: RunRecord,
    config: ModelConfig,
    x: NDArray[Any],
    vectors: NDArray[np.float32] | None,
) -> pd.DataFrame:
    """Return the gradients of a recurrent network before and after its training.

    Args:
        x: token ids of the test set, shape (reviews, length).
    """
    section = record.training.section
    if not isinstance(section, RecurrentParams):
        return NO_GRADIENTS
    load_keras().utils.set_random_seed(record.training.seed)
    initial_model = build_model(section, config.layout, len(config.label_names), vectors)
    return measure_gradients(model, initial_model, x)


def predict_baselines(
    project: Project, is_table: bool, predictions: pd.DataFrame, order: NDArray[np.int64]
) -> list[Baseline]:
    """Return the baselines of the dataset.

    Args:
        predictions: of the model.
        order: the position in `data/fetch` of each row of `predictions`, shape (texts,).
    """
    train = read_reviews(project.fetched, "train")
    baselines = [predict_most_frequent(train.labels, predictions)]
    if is_table and len(train) <= MAX_TFIDF_TEXTS:
        show("Training the baseline, TF-IDF with logistic regression")
        test = read_reviews(project.fetched, "test")
        baselines.append(predict_by_tfidf(train, test, order, predictions))
    return baselines


def evaluate(
    project: Project, record: RunRecord, config: ModelConfig, params: EvaluateParams
) -> tuple[Results, list[Baseline]]:
    """Evaluate the model in `data/train` on the test set, and the baselines."""
    x = read_array(project.padded / "x_test.npy")
    y = read_array(project.padded / "y_test.npy")
    reviews = read_reviews(project.fetched, "test")
    show("Importing TensorFlow")
    model = load_keras_model(project.trained / WEIGHTS_FILE)
    test_rows = read_parquet(project.fetched / TEST_ROWS_FILE)
    order = read_array(project.padded / "test_order.npy")
    texts = texts_table(reviews, test_rows, config.layout, order)
    show(f"Predicting {len(x):,} test texts")
    probabilities = BatchPredictor(model)(x)
    show("Computing metrics and plots")
    predictions = predictions_table(texts, y, probabilities, config.label_names, params.threshold)
    results = evaluate_predictions(predictions)
    if params.log_texts:
        positions = order[results.tables["mistakes"].index].tolist()
        if "text" in test_rows:
            mistaken = test_rows["text"].iloc[positions].tolist()
        else:
            word_index = read_json(project.trained / WORD_INDEX_FILE)
            mistaken = rebuild_texts(reviews, positions, word_index)
        results = results.with_texts(mistaken)
    vectors = read_padded_vectors(project, bool(record.training.vectors))
    if isinstance(record.training.section, RecurrentParams):
        show("Measuring gradients")
    gradients = gradients_before_and_after(model, record, config, x, vectors)
    results = results.join(plot_training(read_table(project.trained / HISTORY_FILE)))
    results = results.join(summarize_gradients(gradients))
    baselines = predict_baselines(project, record.fetch.dataset == "table", predictions, order)
    measured = {name: value for each in baselines for name, value in each.metrics.items()}
    return results._replace(metrics=results.metrics | measured), baselines


def write_results(
    project: Project,
    results: Results,
    baselines: list[Baseline],
    config: ModelConfig,
    params: EvaluateParams,
) -> None:
    """Write metrics, tables, plots and the card."""
    folder = new_folder(project.evaluated)
    project.metrics.mkdir(exist_ok=True)
    for table_name, table in results.tables.items():
        place = folder if table_name in TABLES_IN_DATA else project.metrics
        write_table(place / f"{table_name}.csv", table)
    for plot_name, plot in results.plots.items():
        plot.savefig(folder / f"{plot_name}.png")
    write_json(folder / METRICS_FILE, results.metrics)
    write_record(folder / PARAMS_FILE, params)
    tables = results.tables
    card = describe_evaluation(
        config,
        tables["predictions"],
        results.metrics,
        tables["labels"],
        most_accurate(baselines),
    )
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    names = [*COMPARED_TEST_METRICS, *(MACRO_METRICS if len(config.label_names) > 2 else [])]
    compared = {name: results.metrics[name] for name in names}
    write_json(project.metrics / "evaluate.json", compared)


def main(project: Project) -> None:
    params = load_params(project).evaluate
    record = read_run_record(project)
    check_results(project, record)
    check_dataset(project)
    remove_recorded_checkpoints(project)
    show("Opening MLflow's store")
    client = store.connect(project)
    config = read_model_config(project)
    results, baselines = evaluate(project, record, config, params)
    show("Writing and logging metrics, tables and plots")
    write_results(project, results, baselines, config, params)
    if load_params(project).evaluate != params:
        raise changed_error()
    predictions = results.tables["predictions"]
    guarded_ids = count_formulas(predictions["id"]) if "id" in predictions else 0
    if guarded_ids:
        show(describe_guarded_ids(guarded_ids, PREDICTIONS_FILE))
    run = log_results(project, client, record, params.threshold, results.metrics)
    show(f"Test Accuracy: {results.metrics['test_accuracy']:.4f}")
    if len(config.label_names) > 2:
        show(f"Test macro F1: {results.metrics['test_f1']:.4f}")
    show(describe_logged_run(run))
