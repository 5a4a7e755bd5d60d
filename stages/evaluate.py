"""Stage 4: compute the metrics, tables and plots of the test set.

Writes `data/evaluate/`: `metrics.json`; `cost.json` (what a prediction costs); `probabilities.npy`
(of being positive, float32, in the order of `x_test.npy`); the tables `predictions.csv`,
`confusion.csv`, `roc.csv`, `reliability.csv`, `lengths.csv`, `gradients.csv` and `mistakes.csv`;
the plots `accuracy.png`, `loss.png`, `roc.png`, `reliability.png`, `confusion.png`, `lengths.png`
and `gradients.png`. Then logs them to the training's run and registers the model.

The training's curves are drawn here, so that restyling a plot does not retrain.
"""

from sentiment.evaluation.evaluate import evaluate_model, predict_and_time
from sentiment.gradients import measure_gradients
from sentiment.serving.keras_classifier import load_keras_model
from workflow import files, outputs
from workflow.about import AboutEvaluate, AboutTrain, read_about, write_about
from workflow.commands import run_stage
from workflow.files import EVALUATE, PAD, TRAIN
from workflow.params import load_params
from workflow.publish import publish_or_explain


def main() -> None:
    params = load_params().evaluate
    test = outputs.read_eval_dataset()
    (x,) = files.read_arrays(PAD, ["x_test"])
    about_train = read_about(TRAIN, AboutTrain)
    model = load_keras_model(files.verified(TRAIN / "model.keras"))
    probabilities, cost = predict_and_time(model, x, params.batch_size)
    gradients = measure_gradients(model, x)
    evaluation = evaluate_model(
        test,
        outputs.read_vocabulary(),
        outputs.read_training_record(),
        probabilities,
        gradients,
        about_train.dataset.name,
        params,
    )
    about = AboutEvaluate(
        dataset=about_train.dataset,
        pad=about_train.pad,
        train=about_train.train,
        evaluate=params,
        digests=outputs.current_digests(),
    )
    with files.atomic_folder(EVALUATE) as folder:
        outputs.write_evaluation(folder, evaluation)
        files.write_json(folder / "cost.json", cost)
        write_about(folder, about)
    publish_or_explain(EVALUATE)
    print(f"Test Accuracy: {evaluation.metrics['test_accuracy']:.4f}")


if __name__ == "__main__":
    run_stage("evaluate", main)
