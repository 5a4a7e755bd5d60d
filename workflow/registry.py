"""The registered model of a dataset: its versions, and the champion.

The registered model of IMDB is `imdb-sentiment`, and a table's is named after its file. A version
is one MLflow model without pickle, and brings the code that predicts. The champion is the version
with the alias `champion`. The tags of a version say why.
"""

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sentiment.errors import StoreError, UserError, first_line
from sentiment.prediction.labels import LABELS, probability_column
from workflow import card, files, store
from workflow.files import EvaluateInputs
from workflow.promotion import (
    Decision,
    decide_promotion,
    decide_without_champion,
    have_same_predictions,
    have_same_test_set,
)

if TYPE_CHECKING:
    import pandas as pd  # takes a second, for which `--help` of an extra should not wait
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.prediction.pyfunc_model import SentimentModel

TABLE_EXTENSION = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$", re.IGNORECASE)
# What the table of runs shows in MLflow's UI
RUN_COLUMNS = (
    "metrics.`test_accuracy`",
    "metrics.`val_accuracy`",
    "params.`train.cell`",
    "params.`train.units`",
)
RUN_ID = re.compile(r"[0-9a-f]{32}")
VERSION_URI = re.compile(r"models:/(?P<name>[^/@]+)/(?P<number>\d{1,9})")
CHAMPION = "champion"  # the alias; and a tag of the registered model, with the version's number
PROMOTED = "promoted"  # a decision
NOT_PROMOTED = "not promoted"  # a decision
PROMOTED_BY_A_PERSON = "promoted by a person"  # a reason
# Tags of a version
ACCURACY = "test_accuracy"
DECISION = "decision"
REASON = "reason"
DATASET = "dataset"
# Number of candidates that were tested against a champion. Each candidate's run has its own number
# in the tag `tests.<version of the champion>`.
TEST_COUNT = "tests"


class Promotion(NamedTuple):
    """The version that a person promoted, and the run of the champion before, if there was one."""

    version: "ModelVersion"
    previous_run: str | None


def registered_name(dataset: str) -> str:
    """Return the name of a dataset's registered model, such as `imdb-sentiment`."""
    plain = re.sub(r"[^\w-]+", "-", TABLE_EXTENSION.sub("", dataset)).strip("-")
    if plain != dataset and plain in ("", "imdb", "synthetic"):  # a table of that name
        plain = f"{plain}-table".strip("-")
    return f"{plain}-sentiment"


def connect_trainings(dataset: str) -> str:
    """Connect to the experiment of the trainings on a dataset, and return its id.

    Raises:
        StoreError: the store cannot be used.
    """
    return store.connect(
        registered_name(dataset),
        f"Trainings on `{dataset}`: each run is a model with its evaluation, and a version of the "
        "registered model of the same name.",
        RUN_COLUMNS,
    )


def register_version(model_uri: str, inputs: EvaluateInputs, accuracy: float) -> None:
    """Register a logged model as a version of its dataset's registered model."""
    import mlflow

    name = registered_name(inputs.fetch.name)
    tags = {ACCURACY: f"{accuracy:.4f}", DATASET: inputs.fetch.name}
    mlflow.register_model(model_uri, name, tags=tags)


def version_of_run(run_id: str) -> "ModelVersion | None":
    """Return the newest version that was made from a run, or None if it has no version."""
    return max(versions_of_run(run_id), key=lambda version: int(version.version), default=None)


def versions_of_run(run_id: str) -> "list[ModelVersion]":
    """Return the versions of a dataset's registered model that were made from a run.

    People may register the run's models under other names. Those versions are left alone.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    try:
        experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
    except MlflowException as error:
        if error.error_code not in store.NOT_FOUND_CODES:
            raise
        return []
    # The experiment of the trainings has the name of the registered model.
    found = client.search_model_versions(f"name = '{experiment.name}' AND run_id = '{run_id}'")
    return list(found)


def find_champion(name: str) -> "ModelVersion | None":
    """Return the champion of a registered model, or None if it has no champion."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.MlflowClient().get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in (*store.NOT_FOUND_CODES, "INVALID_PARAMETER_VALUE"):
            return None
        raise


def decide(version: "ModelVersion", inputs: EvaluateInputs, alpha: float) -> Decision | None:
    """Let the rule decide about a version, once, and print the decision.

    A version that was lost and registered again gets the decision from the tags of its run.

    Args:
        version: the version.
        inputs: what its evaluation in `data/evaluate` depends on.
        alpha: see `workflow.promotion`.

    Returns:
        The decision. None: there was one already.
    """
    import mlflow

    client = mlflow.MlflowClient()
    version = client.get_model_version(version.name, version.version)
    champion = find_champion(version.name)
    if DECISION in version.tags:
        if champion is None:
            _restore_champion(version)
        return None
    candidate = read_predictions(files.PREDICTIONS_FILE)
    recorded = client.get_run(str(version.run_id)).data.tags
    if DECISION in recorded:
        decision = _recorded_decision(version, recorded, champion)
    else:
        decision = _new_decision(version, candidate, champion, alpha)
    description = card.describe_version(inputs, candidate, decision)
    outcome = PROMOTED if decision.promoted else NOT_PROMOTED
    _write_decision(version, decision, description, recorded.get(DECISION, outcome))
    if DECISION not in recorded:
        _print_decision(version, decision, champion)
    return decision


def _write_decision(
    version: "ModelVersion", decision: Decision, description: str, outcome: str
) -> None:
    """Write a decision. The tag `decision` comes last: without it, the rule decides again."""
    import mlflow

    _set_tag(version, REASON, decision.reason)
    mlflow.MlflowClient().update_model_version(version.name, version.version, description)
    if decision.promoted:
        _set_champion(version)
    _set_tag(version, DECISION, outcome)


def _restore_champion(version: "ModelVersion") -> None:
    """Make a version the champion again if it was, and somebody deleted the alias."""
    import mlflow

    registered = mlflow.MlflowClient().get_registered_model(version.name)
    if registered.tags.get(CHAMPION) == str(version.version):
        _set_champion(version)


def _set_champion(version: "ModelVersion") -> None:
    """Give a version the alias, and name it in a tag in case somebody deletes the alias."""
    import mlflow

    client = mlflow.MlflowClient()
    client.set_registered_model_alias(version.name, CHAMPION, version.version)
    client.set_registered_model_tag(version.name, CHAMPION, version.version)


def _recorded_decision(
    version: "ModelVersion", recorded: dict[str, str], champion: "ModelVersion | None"
) -> Decision:
    """Return the decision about a version that was lost.

    It becomes champion again only if no other version is champion.

    Args:
        version: the version, which was registered again.
        recorded: the tags of its run.
        champion: the champion.
    """
    import mlflow

    if TEST_COUNT in recorded:
        mlflow.MlflowClient().set_model_version_tag(
            version.name, version.version, TEST_COUNT, recorded[TEST_COUNT]
        )
    is_vacant = champion is None or champion.run_id == version.run_id
    return Decision(recorded[DECISION] == PROMOTED and is_vacant, recorded[REASON])


def _new_decision(
    version: "ModelVersion",
    candidate: "pd.DataFrame",
    champion: "ModelVersion | None",
    alpha: float,
) -> Decision:
    """Decide about a version, given its predictions."""
    if champion is None:
        return decide_without_champion(candidate)
    if champion.version == version.version:  # a killed process, or a person, moved the alias
        return Decision(True, version.tags.get(REASON, PROMOTED_BY_A_PERSON))
    try:
        predictions = download_predictions(str(champion.run_id))
    except StoreError:  # the next call decides
        raise
    except UserError as error:
        return Decision(False, f"the champion's predictions cannot be read: {first_line(error)}")
    if not have_same_test_set(candidate, predictions):
        return Decision(False, "the champion was evaluated on another test set")
    if have_same_predictions(candidate, predictions):  # which is no test
        return Decision(False, "its predictions equal the champion's")
    return decide_promotion(candidate, predictions, alpha, _count_test(version, champion))


def _count_test(version: "ModelVersion", champion: "ModelVersion") -> int:
    """Return the number of a version's test against the champion.

    The version's run has the number, so that a decision that was cut short counts once.
    """
    import mlflow

    client = mlflow.MlflowClient()
    tag = f"{TEST_COUNT}.{champion.version}"
    tests = int(champion.tags.get(TEST_COUNT, 0))
    number = int(client.get_run(str(version.run_id)).data.tags.get(tag, tests + 1))
    client.set_tag(str(version.run_id), tag, str(number))
    _set_tag(champion, TEST_COUNT, str(max(tests, number)))
    return number


def _print_decision(
    version: "ModelVersion", decision: Decision, champion: "ModelVersion | None"
) -> None:
    """Print a new decision and, for a promotion, the command that undoes it."""
    outcome = "is now the champion" if decision.promoted else "is not promoted"
    print(f"Version {version.version} of {version.name} {outcome}: {decision.reason}")
    if decision.promoted and champion and champion.version != version.version:
        print(f"To undo this: sentiment promote {champion.run_id}")


def _set_tag(version: "ModelVersion", tag: str, value: str) -> None:
    """Set a tag of a version, and of its run in case the version is lost."""
    import mlflow

    client = mlflow.MlflowClient()
    client.set_model_version_tag(version.name, version.version, tag, value)
    if client.get_run(str(version.run_id)).info.lifecycle_stage == "active":  # not deleted
        client.set_tag(str(version.run_id), tag, value)


def read_predictions(path: Path) -> "pd.DataFrame":
    """Read a table of predictions, with probabilities to the bit.

    Raises:
        UserError: the file is missing or damaged.
    """
    import pandas as pd

    try:
        return pd.read_csv(path, dtype={probability_column(label): "float32" for label in LABELS})
    except FileNotFoundError:
        raise files.missing_error(path) from None
    except ValueError as error:
        raise files.damaged_error(path, error) from None


def download_predictions(run_id: str) -> "pd.DataFrame":
    """Read the predictions of a run from the store.

    Raises:
        StoreError: the store cannot be used.
        UserError: the run has none, or they are damaged.
    """
    import mlflow

    name = files.PREDICTIONS_FILE.name
    with tempfile.TemporaryDirectory() as scratch, store.store_errors():
        artifacts = mlflow.MlflowClient().list_artifacts(run_id)
        if name not in {artifact.path for artifact in artifacts}:
            raise UserError(f"run {run_id} has no {name}")
        path = mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path=name, dst_path=scratch
        )
        return read_predictions(Path(path))


def promote_run(run_id: str) -> Promotion:
    """Make the version of a run the champion, whatever the rule decided.

    Raises:
        UserError: the run has no version.
    """

    version = version_of_run(run_id)
    if version is None:
        raise UserError(
            f"Run {run_id} has no registered version. Name another run, or run `sentiment sync` "
            "where its data/ is."
        )
    champion = find_champion(version.name)
    _set_tag(version, REASON, PROMOTED_BY_A_PERSON)
    _set_champion(version)
    _set_tag(version, DECISION, PROMOTED)
    is_other = champion is not None and champion.version != version.version
    return Promotion(version, str(champion.run_id) if champion and is_other else None)


def resolve_version(model_uri: str | None, dataset: str) -> "ModelVersion":
    """Return the version that a URI names, or the champion of a dataset.

    Raises:
        UserError: there is no such version.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    if not model_uri:
        name = registered_name(dataset)
        champion = find_champion(name)
        if champion is None:
            raise UserError(
                f"There is no champion of {name} yet: `sentiment repro` makes one, and `sentiment "
                "sync` brings a lost one back."
            )
        return champion
    parts = VERSION_URI.fullmatch(model_uri)
    if parts is None:
        raise UserError(
            f"{model_uri} is not a model version. Use a URI such as models:/imdb-sentiment/1."
        )
    try:
        return mlflow.MlflowClient().get_model_version(parts["name"], parts["number"])
    except MlflowException as error:
        if error.error_code not in store.NOT_FOUND_CODES:
            raise
        raise UserError(f"There is no version {model_uri}: {first_line(error)}") from None


def version_uri(version: "ModelVersion") -> str:
    """Return the URI of a version."""
    return f"models:/{version.name}/{version.version}"


def load_model(model_uri: str) -> "SentimentModel":
    """Load a version with its own code.

    Raises:
        UserError: the model cannot be loaded, or is not one that this project registers.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        loaded = mlflow.pyfunc.load_model(model_uri)
    except Exception as error:  # each kind of artifact store has exceptions of its own
        raise UserError(f"{model_uri} cannot be loaded: {first_line(error)}") from error
    try:
        model: SentimentModel | None = loaded.unwrap_python_model()
    except MlflowException:  # a model of another flavor
        model = None
    if model is None or not hasattr(model, "predict_texts"):
        raise UserError(
            f"{model_uri} does not take raw texts as this project's models do. Name a version of "
            "its registered model, such as models:/imdb-sentiment/1."
        )
    return model
