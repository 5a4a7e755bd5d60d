"""The stage `train` without its MLflow run: what tracking costs is the difference."""

import tempfile
from pathlib import Path

from sentiment.gradients import measure_gradients
from sentiment.network.batches import train_validation_split
from sentiment.network.inputs import model_inputs
from sentiment.network.progress import NO_PROGRESS, Progress
from sentiment.network.training import Training
from stages.train import write_training
from workflow import files
from workflow.about import AboutPad, read_about
from workflow.checkpoints import Checkpoint
from workflow.files import PAD
from workflow.params import load_params


def main() -> None:
    params = load_params().train
    pad_params = read_about(PAD, AboutPad).pad
    x, y = files.read_arrays(PAD, ["x_train", "y_train"])
    train_split, val_split = train_validation_split(x, y, params.validation_split)
    inputs = model_inputs(pad_params, params, len(train_split.y))
    training = Training(params, inputs, train_split, val_split)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint_folder = Path(scratch) / "checkpoint"
        checkpoint_folder.mkdir()
        checkpoint = Checkpoint(checkpoint_folder)

        def on_epoch(progress: Progress) -> None:
            checkpoint.write(training.capture(progress))

        gradients = measure_gradients(training.model, val_split.x)
        result = training.fit(NO_PROGRESS, on_epoch)
        outputs = Path(scratch) / "train"
        outputs.mkdir()
        write_training(outputs, training, result, gradients)


if __name__ == "__main__":
    main()
