"""Write the run of a training to MLflow: while it trains, and afterwards from its files.

The tag `state` says what a run has: `training`, `trained`, `evaluating`, or the digest of the
evaluation that it has completely.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.metadata import version as package_version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sentiment import prediction
from sentiment.errors import first_line
from sentiment.network.batches import train_validation_split
from sentiment.network.model import implementation
from sentiment.network.training import EPOCH_METRICS
from sentiment.params import flatten, flatten_used
from sentiment.prediction import tokenizer
from workflow import files, provenance, registry
from workflow.checkpoint import Checkpoint
from workflow.files import EvaluateInputs, TrainInputs
from workflow.stage import Interrupted

if TYPE_CHECKING:
    import mlflow

# Names of the logged models
KERAS_MODEL = "model"
TEXT_MODEL = "sentiment"  # predicts raw texts
# Tags of a run
TRAINING_ID = "training.id"  # see `workflow.checkpoint.Checkpoint`
TRAINING_KEY = "training.key"  # see `workflow.checkpoint.training_key`
IMPLEMENTATION = "implementation"  # see `sentiment.network.model.implementation`
STATE = "state"
SOURCE_NAME = "mlflow.source.name"
SOURCE = "stages/train.py"
# Values of `STATE`
TRAINING = "training"
TRAINED = "trained"
EVALUATING = "evaluating"
# Artifacts
TABLES_ARTIFACT = "metrics"
PARAMS_ARTIFACT = "params.yaml"
DIFF_ARTIFACT = "uncommitted.diff"
# Curves over the distance from the last word
# MLflow sorts its charts by name. These come after accuracy and loss.
GRADIENT_NORM = "word_gradient"
INITIAL_GRADIENT_NORM = "word_gradient_initial"
SERVING_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "mlflow")  # needed to predict
EXAMPLE_TEXTS = ["A fine film.", "Dull, and far too long."]
# The file that MLflow runs to load the text model
MODEL_SCRIPT = """\
import mlflow

from {package}.pyfunc_model import SentimentModel

mlflow.models.set_model(SentimentModel())
"""
SYNC_ADVICE = (
    "Run `sentiment sync` later to log the rest; for a DVC experiment, `dvc exp apply` it first."
)


class LiveRun:
    """The run of a training in progress. If the store fails, the training continues without it."""

    def __init__(self) -> None:
        self.works = True
        self._epochs_logged = 0

    def attempt(self, log: Callable[..., object], *arguments: Any) -> None:
        """Call a function that uses MLflow, unless MLflow has failed before."""
        if not self.works:
            return
        try:
            log(*arguments)
        except Exception as error:  # databases, servers and artifact stores have their own kinds
            self.works = False
            print(
                f"Nothing more is logged to MLflow. {SYNC_ADVICE} ({first_line(error)})",
                file=sys.stderr,
                flush=True,
            )
            with suppress(Exception):  # MLflow would try again when the process exits
                import mlflow

                mlflow.end_run("FAILED")

    def log_epochs(self, epochs: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs that this process has not logged yet."""
        self.attempt(log_epochs, epochs, self._epochs_logged)
        self._epochs_logged = len(epochs)


@contextmanager
def live_run(checkpoint: Checkpoint, inputs: TrainInputs) -> Iterator[LiveRun]:
    """Start the run of a training, or resume it.

    If the block succeeds, the files of the training are logged and the run is FINISHED. If a signal
    interrupts it, the run is KILLED. If it fails, the run is FAILED.

    Args:
        checkpoint: the checkpoint of the training.
        inputs: what the training depends on.
    """
    import mlflow

    if "tags" not in checkpoint.run_info:
        tags = {**provenance.provenance_tags(), IMPLEMENTATION: implementation(inputs.train)}
        checkpoint.write_run_info(tags=tags, diff=provenance.uncommitted_diff())
    live = LiveRun()
    live.attempt(start_run, checkpoint, inputs)
    live.attempt(log_inputs, checkpoint, inputs)
    try:
        yield live
    except BaseException as error:
        live.attempt(mlflow.end_run, "KILLED" if isinstance(error, Interrupted) else "FAILED")
        raise
    live.attempt(log_training)
    live.attempt(mlflow.set_tag, STATE, TRAINED)
    live.attempt(mlflow.end_run)


def start_run(checkpoint: Checkpoint, inputs: TrainInputs) -> "mlflow.ActiveRun":
    """Start the run of a training, or resume it."""
    import mlflow

    experiment_id = registry.connect_trainings(inputs.fetch.name)
    found = find_runs(experiment_id, f"tags.`{TRAINING_ID}` = '{checkpoint.training_id}'")
    tags = {
        TRAINING_ID: checkpoint.training_id,
        TRAINING_KEY: inputs.key,
        STATE: TRAINING,
        SOURCE_NAME: SOURCE,  # also if `sentiment sync` makes the run
        **checkpoint.run_info.get("tags", {}),
    }
    name = provenance.run_name(inputs.fetch, inputs.pad, inputs.train)
    experiment = tags.get("dvc.experiment")
    return mlflow.start_run(
        run_id=found[0].info.run_id if found else None,
        run_name=provenance.SEPARATOR.join(filter(None, [name, experiment])),
        tags=tags,
        description=f"A training of the stage `train` on `{inputs.fetch.name}`.",
    )


def log_inputs(checkpoint: Checkpoint, inputs: TrainInputs) -> None:
    """Log what a training depends on to the active run."""
    import mlflow

    mlflow.log_params(flatten_used(inputs.fetch, inputs.pad, inputs.train))
    log_params_file(inputs)
    diff = checkpoint.run_info.get("diff")
    if diff:
        mlflow.log_text(f"{diff}\n", DIFF_ARTIFACT)
    x = files.read_array(files.PAD / "x_train.npy")
    y = files.read_array(files.PAD / "y_train.npy")
    splits = train_validation_split(x, y, inputs.train.validation_split)
    for context, split in zip(("training", "validation"), splits, strict=True):
        log_dataset(inputs, context, split.x, split.y)


def log_epochs(epochs: Sequence[Mapping[str, float]], first: int = 0) -> None:
    """Log a point for each metric of each epoch to the active run.

    MLflow keeps one of equal points, so epochs may be logged again.

    Args:
        epochs: see `sentiment.network.training.EPOCH_COLUMNS`; `seconds` may be missing.
        first: number of epochs to leave out.
    """
    import mlflow

    for step, epoch in enumerate(epochs[first:], first + 1):
        values = {name: epoch[name] for name in (*EPOCH_METRICS, "seconds") if name in epoch}
        mlflow.log_metrics(values, step=step, timestamp=int(1000 * epoch["ended"]))


def log_params_file(inputs: TrainInputs) -> None:
    """Log all params that the active run depends on as a file."""
    import mlflow

    mlflow.log_dict(inputs.model_dump(exclude={"key"}), PARAMS_ARTIFACT)


def log_dataset(inputs: TrainInputs, context: str, x: Any, y: Any) -> None:
    """Record that the active run uses a split.

    Args:
        inputs: what the training depends on.
        context: training, validation or test.
        x: token ids, shape (reviews, max_length).
        y: labels, shape (reviews,).
    """
    import mlflow
    from mlflow.data.dataset_source_registry import get_dataset_source_from_json
    from mlflow.data.numpy_dataset import from_numpy

    source = get_dataset_source_from_json(f'{{"uri": "{files.PAD}"}}', "local")
    name = f"{inputs.fetch.name}-{context}"
    mlflow.log_input(from_numpy(x, source, y, name=name), context)


def log_training() -> None:
    """Log the files of a finished training to the active run. It may have some already."""
    import mlflow

    delete_models(active_run(), KERAS_MODEL)
    log_keras_model()
    summary = files.read_json(files.TRAINING_METRICS_FILE)
    # Under the name of a curve, a summary would be a point more.
    mlflow.log_metrics(
        {name: value for name, value in summary.items() if name not in EPOCH_METRICS}
    )
    log_gradients(INITIAL_GRADIENT_NORM, files.INITIAL_GRADIENTS_FILE)
    for path in (files.HISTORY_FILE, files.INITIAL_GRADIENTS_FILE):
        mlflow.log_artifact(str(path), TABLES_ARTIFACT)


def log_evaluation(inputs: EvaluateInputs) -> None:
    """Log the files of an evaluation to the active run, and register the model."""
    import mlflow

    mlflow.set_tag(STATE, EVALUATING)
    mlflow.log_params(flatten(inputs.evaluate, "evaluate"))
    log_params_file(inputs)
    x = files.read_array(files.PAD / "x_test.npy")
    y = files.read_array(files.PAD / "y_test.npy")
    log_dataset(inputs, "test", x, y)
    mlflow.log_metrics(files.read_json(files.TEST_METRICS_FILE))
    log_gradients(GRADIENT_NORM, files.GRADIENTS_FILE)
    mlflow.log_artifacts(str(files.EVALUATE))
    mlflow.log_artifacts(str(files.METRICS_FOLDER), TABLES_ARTIFACT)
    register_text_model(inputs)


def log_gradients(name: str, path: Path) -> None:
    """Log the mean gradient at each distance as a metric. The step is the distance.

    MLflow keeps one of equal points. These have the time of the run's start, so that they are
    equal if they are logged again.
    """
    import mlflow
    from mlflow.entities import Metric

    run = active_run()
    table = pd.read_csv(path)
    points = [
        Metric(name, float(mean), run.info.start_time, int(distance))
        for distance, mean in zip(table["distance"], table["mean"], strict=True)
    ]
    for start in range(0, len(points), 1000):  # MLflow takes 1,000 at once
        mlflow.MlflowClient().log_batch(run.info.run_id, points[start : start + 1000])


def log_keras_model() -> None:
    """Log the Keras model in `data/train` to the active run."""
    import mlflow
    import numpy as np

    from sentiment.prediction.keras_classifier import load_keras_model

    model = load_keras_model(files.MODEL_FILE)
    with redirect_stdout(StringIO()):  # MLflow tries the example, and Keras prints a progress bar
        mlflow.tensorflow.log_model(
            model,
            name=KERAS_MODEL,
            input_example=np.zeros((1, model.input_shape[1]), np.int32),  # no review leaves data/
            pip_requirements=serving_requirements(),
        )


def register_text_model(inputs: EvaluateInputs) -> None:
    """Log the model that predicts raw texts to the active run, and register it as a version."""
    delete_models(active_run(), TEXT_MODEL)
    model_uri = log_text_model(inputs)
    accuracy = files.read_json(files.TEST_METRICS_FILE)["test_accuracy"]
    registry.register_version(model_uri, inputs, accuracy)


def log_text_model(inputs: EvaluateInputs) -> str:
    """Log the model that predicts raw texts to the active run, and return its URI.

    The version's copy of the code is a package that has the run's id in its name, so that one
    process can load several versions beside the project's own modules.
    """
    import mlflow

    from sentiment.prediction.pyfunc_model import (
        CONFIG_ARTIFACT,
        MODEL_ARTIFACT,
        TEXT_COLUMN,
        WORD_INDEX_ARTIFACT,
    )

    package = f"served_{active_run().info.run_id}"
    extra_packages = ["regex"] if inputs.fetch.tokenizer == tokenizer.UNICODE else []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        code = scratch / package
        shutil.copytree(
            Path(prediction.__file__).parent, code, ignore=shutil.ignore_patterns("__pycache__")
        )
        entry = scratch / "served.py"
        entry.write_text(MODEL_SCRIPT.format(package=package), encoding="utf-8")
        config = scratch / CONFIG_ARTIFACT
        write_config(config, inputs)
        sys.path.insert(0, name)  # MLflow runs the entry while it logs it
        try:
            logged = mlflow.pyfunc.log_model(
                name=TEXT_MODEL,
                python_model=str(entry),
                code_paths=[str(code)],
                artifacts={
                    CONFIG_ARTIFACT: str(config),
                    MODEL_ARTIFACT: str(files.MODEL_FILE),
                    WORD_INDEX_ARTIFACT: str(files.WORD_INDEX_FILE),
                },
                signature=text_model_signature(),
                input_example=pd.DataFrame({TEXT_COLUMN: EXAMPLE_TEXTS}),
                pip_requirements=serving_requirements(*extra_packages),
            )
        finally:
            sys.path.remove(name)
    return str(logged.model_uri)


def text_model_signature() -> "mlflow.models.ModelSignature":
    """Return the columns that the text model takes and returns."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Map

    from sentiment.prediction.pyfunc_model import TEXT_COLUMN

    return ModelSignature(
        inputs=Schema([ColSpec("string", TEXT_COLUMN)]),
        outputs=Schema(
            [
                ColSpec("string", "label"),
                ColSpec("float", "probability"),
                ColSpec(Map("float"), "probabilities"),
            ]
        ),
    )


def write_config(path: Path, inputs: EvaluateInputs) -> None:
    """Write the params that the text model needs."""
    config = {
        "layout": inputs.pad.model_dump(),
        "threshold": inputs.evaluate.threshold,
        "tokenizer": inputs.fetch.tokenizer,
    }
    files.write_json(path, config)


def serving_requirements(*extra_packages: str) -> list[str]:
    """Return the pinned packages that predict. MLflow takes 14 s to infer them."""
    return [
        f"{package}=={package_version(package)}" for package in (*SERVING_PACKAGES, *extra_packages)
    ]


def find_runs(experiment_id: str, filter_string: str) -> "list[mlflow.entities.Run]":
    """Return the runs of an experiment that a filter selects, the newest first."""
    import mlflow

    return list(mlflow.MlflowClient().search_runs([experiment_id], filter_string))


def end_killed_runs(filter_string: str) -> None:
    """End the runs that a filter selects in all experiments, and that no process runs any more."""
    import mlflow

    for run in mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"{filter_string} AND attributes.status = 'RUNNING'",
        output_format="list",
    ):
        mlflow.MlflowClient().set_terminated(run.info.run_id, "KILLED")


def active_run() -> "mlflow.entities.Run":
    """Return the active run, of which there must be one."""
    import mlflow

    run = mlflow.active_run()
    assert run is not None
    return run


def delete_run(run: "mlflow.entities.Run") -> None:
    """Delete a run that is not complete, with its versions and logged models."""
    import mlflow

    client = mlflow.MlflowClient()
    for version in registry.versions_of_run(str(run.info.run_id)):
        client.delete_model_version(version.name, version.version)
    delete_models(run, KERAS_MODEL, TEXT_MODEL)
    client.delete_run(run.info.run_id)


def delete_models(run: "mlflow.entities.Run", *names: str) -> None:
    """Delete the logged models of a run that have one of these names."""
    import mlflow

    for model in logged_models(run):
        if model.name in names:
            mlflow.MlflowClient().delete_logged_model(model.model_id)


def logged_models(run: "mlflow.entities.Run") -> "list[mlflow.entities.LoggedModel]":
    """Return the logged models of a run."""
    import mlflow

    filter_string = f"source_run_id = '{run.info.run_id}'"
    found = mlflow.MlflowClient().search_logged_models([run.info.experiment_id], filter_string)
    return list(found)
