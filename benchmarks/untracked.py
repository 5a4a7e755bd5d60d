"""The stage `train` without its MLflow run: what tracking costs is the difference."""

import tempfile
from pathlib import Path

from sentiment.network import checkpoint, training
from sentiment.network.checkpoint import Progress
from sentiment.network.model import inputs_of
from stages import train


def main() -> None:
    job = train.read_job()
    inputs = inputs_of(job.shaping, len(job.learning.y))
    model, _ = training.ready_model(job.params, inputs, job.learning)
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as folder:

        def on_epoch(progress: Progress) -> None:
            checkpoint.write(Path(kept), model, progress)

        parts = job.learning, job.validation, job.params
        initial = train.initial_gradients(job, model)
        trained = training.fit(model, *parts, on_epoch, checkpoint.START)
        train.write(Path(folder), model, trained, initial, {})


if __name__ == "__main__":
    main()
