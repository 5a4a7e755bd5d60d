"""The stage `train` without its MLflow run: what tracking costs is the difference."""

import tempfile
from pathlib import Path

from stages import checkpoint, train
from stages.checkpoint import Progress
from stages.model import build_model


def main() -> None:
    job = train.read_job()
    train.prepare(job.params)
    model = build_model(job.params, job.shaping["pad.num_words"], job.learning.x.shape[1])
    train.accelerate(model, job.params)
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as folder:

        def on_epoch(progress: Progress) -> None:
            checkpoint.write(Path(kept), model, progress)

        parts = job.learning, job.validation, job.params
        trained = train.fit(model, *parts, on_epoch, checkpoint.START)
        train.write(Path(folder), model, trained, {}, "")


if __name__ == "__main__":
    main()
