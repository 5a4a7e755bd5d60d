"""The stage `train` without its MLflow run: what tracking costs is the difference."""

import tempfile
from pathlib import Path

from sentiment.gradients import measure
from sentiment.network.batches import split
from sentiment.network.model import inputs_of
from sentiment.network.state import START, Progress
from sentiment.network.training import Training
from sentiment.section import flatten
from stages import train
from workflow import files
from workflow.files import PAD
from workflow.params import load_params
from workflow.runs import training_run


def main() -> None:
    params = load_params().train
    settings_used = files.read_about(PAD)["params"] | flatten(params, "train")
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    parts = learning, validation = split(x, y, params.validation_split)
    training = Training(params, inputs_of(settings_used, len(learning.y)), *parts)
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as folder:

        def on_epoch(progress: Progress) -> None:
            training_run.write(Path(kept), len(progress.rows), training.capture(progress))

        padding_token, reviews = settings_used["pad.padding_token"], params.gradient_reviews
        gradients = measure(training.model, validation.x, padding_token, reviews)
        trained = training.fit(START, on_epoch)
        train.write(Path(folder), training, trained, gradients)


if __name__ == "__main__":
    main()
