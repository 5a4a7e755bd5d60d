"""Train, or resume from a checkpoint, for the stage `train` and for trials of a sweep."""

from sentiment.network.progress import (
    NO_PROGRESS,
    OnEpoch,
    Progress,
    TrainingResult,
    history_frame,
)
from sentiment.network.training import Training
from workflow.checkpoints import Checkpoint
from workflow.tracking import LiveRun


def train_or_resume(
    training: Training,
    checkpoint: Checkpoint,
    run: LiveRun,
    on_epoch: OnEpoch = lambda _: None,
    verbose: bool = True,
) -> TrainingResult:
    """Train to the end. After each epoch, write the checkpoint and log the epoch.

    Args:
        training: a training that has not started.
        checkpoint: checkpoint of this training, with or without arrays to restore.
        run: gets the metrics of each epoch.
        on_epoch: gets the progress after each epoch, and the progress that was restored.
        verbose: print Keras' progress.

    Raises:
        UserError: the training diverged.
    """

    def report(progress: Progress) -> None:
        run.log_epochs(history_frame(progress.epochs))
        on_epoch(progress)

    def after_epoch(progress: Progress) -> None:
        checkpoint.write(training.capture(progress))
        report(progress)

    progress = NO_PROGRESS
    if checkpoint.arrays is not None:
        progress = training.restore(checkpoint.arrays)
        epochs = training.params.epochs
        print(f"Resuming after epoch {len(progress.epochs)} of {epochs}", flush=True)
        report(progress)  # the last epoch may not be logged yet
    return training.fit(progress, after_epoch, verbose)
