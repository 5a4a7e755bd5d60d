"""Stage 3: train the model, one MLflow run for each training.

Writes `data/train/`: `model.keras`, `metrics.json` (of the epoch whose weights are kept) and
`initial_gradients.csv` (how far back the gradient reaches before the first epoch); and `metrics/`:
`train.json` (the metrics to compare) and `history.csv` (a row for each epoch).

A training that was killed resumes after its last finished epoch.
"""

from sentiment.network.batches import train_validation_split
from sentiment.network.gradients import gradient_reach, measure_gradients
from sentiment.network.model import save_model
from sentiment.network.training import EPOCH_METRICS, Training
from workflow import files, runs
from workflow.checkpoint import exclusive_checkpoint
from workflow.files import PAD, TRAIN, PadInputs, TrainInputs
from workflow.params_file import load_params
from workflow.stage import SignalFlag
from workflow.training_key import training_keys


def main(flag: SignalFlag) -> None:
    params = load_params().train
    files.check_folders(PAD)
    pad_inputs = files.read_inputs(PAD, PadInputs)
    x = files.read_array(PAD / "x_train.npy")
    y = files.read_array(PAD / "y_train.npy")
    train_split, val_split = train_validation_split(x, y, params.validation_split)
    keys = training_keys(params)
    inputs = TrainInputs(**dict(pad_inputs), train=params, **keys._asdict())
    with exclusive_checkpoint(inputs.key) as checkpoint:
        training = Training(params, pad_inputs.pad, train_split, val_split)
        # Before the first epoch, on reviews that are never trained on.
        gradients = measure_gradients(training.model, val_split.x)
        journal, state = checkpoint.read_training()
        journal = journal or runs.begin_journal(checkpoint)
        with runs.live_run(journal, inputs) as run:
            if state is not None:
                training.restore(state)
                run.log_epochs(training.epochs)  # the last one may not be logged yet
                print(f"Resuming after epoch {len(training.epochs)} of {params.epochs}", flush=True)

            def after_epoch() -> None:
                checkpoint.write_state(journal, training.capture())
                run.log_epochs(training.epochs)

            training.fit(after_epoch, [flag.callback()])
            folder = files.new_folder(TRAIN)
            save_model(training.model, folder / "model.keras")
            files.METRICS_FOLDER.mkdir(exist_ok=True)
            training.history.to_csv(files.HISTORY_FILE, index=False)
            gradients.to_csv(files.INITIAL_GRADIENTS_FILE, index=False)
            metrics = {**training.metrics, "word_gradient_reach_initial": gradient_reach(gradients)}
            compared = files.write_metrics(folder, metrics, EPOCH_METRICS)
            tables = [files.HISTORY_FILE, compared]
            files.write_inputs(folder, inputs, made_from=[PAD], metrics=tables)
            checkpoint.write_journal(journal.model_copy(update={"epochs": training.epochs}))
