"""The stage `train` without its MLflow run: what tracking costs is the difference."""

import tempfile
from pathlib import Path

from sentiment.gradients import measure_gradients
from sentiment.network.batches import train_validation_split
from sentiment.network.model import model_inputs
from sentiment.network.progress import NO_PROGRESS, Progress
from sentiment.network.training import Training
from stages import train
from workflow import files
from workflow.files import PAD
from workflow.params import load_params
from workflow.runs import training_run


def main() -> None:
    everything = load_params()
    params = everything.train
    pad = everything.pad
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    parts = learning, validation = train_validation_split(x, y, params.validation_split)
    training = Training(params, model_inputs(pad, params, len(learning.y)), *parts)
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as folder:

        def on_epoch(progress: Progress) -> None:
            training_run.write(Path(kept), len(progress.epochs), training.capture(progress))

        padding_token, reviews = pad.padding_token, params.gradient_reviews
        gradients = measure_gradients(training.model, validation.x, padding_token, reviews)
        trained = training.fit(NO_PROGRESS, on_epoch)
        train.write(Path(folder), training, trained, gradients)


if __name__ == "__main__":
    main()
