"""Stage 4: the test set: metrics, tables and plots, added to the training's run.

Writes `data/evaluate/`: `metrics.json`; `cost.json` (what an answer takes); `probabilities.npy`
(of being positive, float32, in the order of `x_test.npy`); the tables `predictions.csv`,
`confusion.csv`, `roc.csv`, `reliability.csv`, `lengths.csv`, `gradients.csv` and `mistakes.csv`;
the plots `accuracy.png`, `loss.png`, `roc.png`, `reliability.png`, `confusion.png`, `lengths.png`
and `gradients.png`.
Drawing the curves here keeps a change of their looks from training anew.
"""

from sentiment.evaluation.evaluate import evaluate_network, predict_and_time
from sentiment.gradients import measure_gradients
from sentiment.section import flatten
from sentiment.serving.keras_classifier import load_keras_model
from workflow import ending, files
from workflow.evaluation import (
    evaluated_digests,
    publish_outputs,
    read_test,
    read_training,
    read_words,
    write,
)
from workflow.files import EVALUATE, TRAIN
from workflow.params import dataset_name, load_params
from workflow.runs import lifecycle, store, training_run
from workflow.runs.logger import RunLogger


def find_run(run_id: str) -> RunLogger | None:
    """The training's run; None, with a message, where the store does not have it or fails."""
    with store.tolerating_errors(f"The metrics stay in {EVALUATE} until `make sync` logs them"):
        lifecycle.end_abandoned_runs()
        if log := lifecycle.recorded(run_id):
            return log
        print(f"The tracking store has no run {run_id}: `make sync` makes it from {files.DATA}.")
    return None


def main() -> None:
    everything = load_params()
    params = everything.evaluate
    test, training = read_test(), read_training()
    training_run.clear(training.run["tags"][lifecycle.KEY])
    model = load_keras_model(files.checked(TRAIN / "model.keras"))
    probabilities, cost = predict_and_time(model, test.x, params.batch_size)
    used = training.params
    gradients = measure_gradients(
        model, test.x, used["pad.padding_token"], used["train.gradient_reviews"]
    )
    dataset = dataset_name(used)
    evaluation = evaluate_network(
        test, read_words(), training.record, probabilities, gradients, dataset, params
    )
    with files.replaced(EVALUATE) as folder:
        write(folder, evaluation)
        files.write_json(folder / "cost.json", cost)
        files.write_about(folder, used | flatten(params, "evaluate") | evaluated_digests())
    if log := find_run(training.run["run_id"]):  # else the files have it, and the stage succeeds
        publish_outputs(log, evaluation.metrics, test, everything.promote)
    print(f"Test Accuracy: {evaluation.metrics['test_accuracy']:.4f}")


if __name__ == "__main__":
    ending.run_stage("evaluate", main)
