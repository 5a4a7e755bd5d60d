"""The registered model of a dataset: its versions, and the champion.

The registered model of IMDB is `imdb-sentiment`. Other datasets have others, so that champions of
different data never compete. A version is one MLflow model without pickle, and brings the code that
predicts. The champion is the version with the alias `champion`. The tags of a version say why.
"""

import re
import shutil
import sys
import tempfile
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sentiment import prediction
from sentiment.errors import StoreError, UserError, first_line
from sentiment.prediction import tokenizer
from sentiment.prediction.labels import LABELS, probability_column
from workflow import card, files, store
from workflow.files import EvaluateSections
from workflow.promotion import (
    Decision,
    decide_promotion,
    decide_without_champion,
    have_same_test_set,
)

if TYPE_CHECKING:
    import pandas as pd  # takes a second, for which `--help` of an extra should not wait
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.prediction.pyfunc_model import SentimentModel

TABLE_EXTENSION = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$", re.IGNORECASE)
RUN_ID = re.compile(r"[0-9a-f]{32}")
VERSION_URI = re.compile(r"models:/(?P<name>[^/@]+)/(?P<number>\d{1,9})")
CHAMPION = "champion"  # the alias, and the decision about a version that got it
NOT_PROMOTED = "not promoted"
PROMOTED_BY_A_PERSON = "promoted by a person"  # a reason
TEXT_MODEL = "sentiment"  # name of the logged model that predicts raw texts
# Tags of a version
ACCURACY = "test_accuracy"
DECISION = "decision"
REASON = "reason"
DATASET = "dataset"
TESTS = "tests"  # of a champion: number of candidates that were tested against it
SERVING_PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "mlflow")  # needed to predict
EXAMPLES = ["A fine film.", "Dull, and far too long."]
ENTRY = """\
import mlflow

from {package}.pyfunc_model import SentimentModel

mlflow.models.set_model(SentimentModel())
"""


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
    )


def serving_requirements(*others: str) -> list[str]:
    """Return the pinned packages that predict. MLflow takes 14 s to infer them."""
    return [f"{package}=={package_version(package)}" for package in (*SERVING_PACKAGES, *others)]


def log_text_model(sections: EvaluateSections) -> str:
    """Log the model that predicts raw texts to the active run, and return its URI.

    The version's copy of the code is a package that has the run's id in its name, so that one
    process can load several versions beside the project's own modules.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Map

    from sentiment.prediction.pyfunc_model import (
        CONFIG_ARTIFACT,
        MODEL_ARTIFACT,
        TEXT_COLUMN,
        WORD_INDEX_ARTIFACT,
    )

    run = mlflow.active_run()
    assert run is not None  # the callers have one
    needs_regex = sections.fetch.tokenizer == tokenizer.UNICODE
    with tempfile.TemporaryDirectory() as scratch:
        package = f"served_{run.info.run_id}"
        code = Path(scratch) / package
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(prediction.__file__).parent, code, ignore=ignored)
        entry = Path(scratch) / "served.py"
        entry.write_text(ENTRY.format(package=package), encoding="utf-8")
        config = {
            "layout": sections.pad.model_dump(),
            "threshold": sections.evaluate.threshold,
            "tokenizer": sections.fetch.tokenizer,
        }
        files.write_json(Path(scratch) / CONFIG_ARTIFACT, config)
        sys.path.insert(0, scratch)  # MLflow runs the entry while it logs it
        try:
            logged = mlflow.pyfunc.log_model(
                name=TEXT_MODEL,
                python_model=str(entry),
                code_paths=[str(code)],
                artifacts={
                    CONFIG_ARTIFACT: str(Path(scratch) / CONFIG_ARTIFACT),
                    MODEL_ARTIFACT: str(files.MODEL_FILE),
                    WORD_INDEX_ARTIFACT: str(files.WORD_INDEX_FILE),
                },
                signature=ModelSignature(
                    inputs=Schema([ColSpec("string", TEXT_COLUMN)]),
                    outputs=Schema(
                        [
                            ColSpec("string", "label"),
                            ColSpec("float", "probability"),
                            ColSpec(Map("float"), "probabilities"),
                        ]
                    ),
                ),
                input_example=pd.DataFrame({TEXT_COLUMN: EXAMPLES}),
                pip_requirements=serving_requirements(*(["regex"] if needs_regex else [])),
            )
        finally:
            sys.path.remove(scratch)
    return str(logged.model_uri)


def register_version(model_uri: str, sections: EvaluateSections, accuracy: float) -> None:
    """Register a logged model as a version of its dataset's registered model."""
    import mlflow

    name = registered_name(sections.fetch.name)
    tags = {ACCURACY: f"{accuracy:.4f}", DATASET: sections.fetch.name}
    mlflow.register_model(model_uri, name, tags=tags)


def version_of_run(run_id: str) -> "ModelVersion | None":
    """Return the newest version that was made from a run, or None if it has no version."""
    import mlflow

    found = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    return max(found, key=lambda version: int(version.version), default=None)


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


def decide(version: "ModelVersion", sections: EvaluateSections, alpha: float) -> Decision | None:
    """Let the rule decide about a version, once.

    The tag `decision` comes last, so that a decision that was cut short is made again. A version
    that was lost and registered again gets the decision from the tags of its run.

    Args:
        version: the version.
        sections: what its evaluation in `data/evaluate` depends on.
        alpha: see `workflow.promotion`.

    Returns:
        The decision. None: there was one already.
    """
    import mlflow

    client = mlflow.MlflowClient()
    version = client.get_model_version(version.name, version.version)
    if DECISION in version.tags:
        return None
    candidate = read_predictions(files.PREDICTIONS_FILE)
    champion = find_champion(version.name)
    recorded = client.get_run(str(version.run_id)).data.tags
    is_lost = DECISION in recorded
    if is_lost:
        is_vacant = champion is None or champion.run_id == version.run_id
        decision = Decision(recorded[DECISION] == CHAMPION and is_vacant, recorded[REASON])
        if TESTS in recorded:
            client.set_model_version_tag(version.name, version.version, TESTS, recorded[TESTS])
    elif champion is None:
        decision = decide_without_champion(candidate)
    elif champion.version == version.version:  # a killed process, or a person, moved the alias
        decision = Decision(True, version.tags.get(REASON, PROMOTED_BY_A_PERSON))
    else:
        decision = _compare(candidate, champion, alpha)
    _set_tag(version, REASON, decision.reason)
    description = card.describe_version(sections, candidate, decision)
    client.update_model_version(version.name, version.version, description)
    if decision.promoted:
        client.set_registered_model_alias(version.name, CHAMPION, version.version)
    _set_tag(version, DECISION, recorded.get(DECISION) or _outcome(decision))
    if is_lost:
        return decision
    outcome = "is now the champion" if decision.promoted else "is not promoted"
    print(f"Version {version.version} of {version.name} {outcome}: {decision.reason}")
    if decision.promoted and champion and champion.version != version.version:
        print(f"To undo this: sentiment promote {champion.run_id}")
    return decision


def _compare(candidate: "pd.DataFrame", champion: "ModelVersion", alpha: float) -> Decision:
    """Test a candidate against the champion, and count the test."""
    try:
        predictions = download_predictions(str(champion.run_id))
    except StoreError:  # the next call decides
        raise
    except UserError as error:
        return Decision(False, f"the champion's predictions cannot be read: {first_line(error)}")
    if not have_same_test_set(candidate, predictions):
        return Decision(False, "the champion was evaluated on another test set")
    number = int(champion.tags.get(TESTS, 0)) + 1
    _set_tag(champion, TESTS, str(number))
    return decide_promotion(candidate, predictions, alpha, number)


def _outcome(decision: Decision) -> str:
    return CHAMPION if decision.promoted else NOT_PROMOTED


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


def promote(run_id: str) -> Promotion:
    """Make the version of a run the champion, whatever the rule decided.

    Raises:
        UserError: the run has no version.
    """
    import mlflow

    version = version_of_run(run_id) if RUN_ID.fullmatch(run_id) else None
    if version is None:
        raise UserError(
            f"Run {run_id} has no registered version. Name another run, or run `sentiment sync` "
            "where its data/ is."
        )
    champion = find_champion(version.name)
    _set_tag(version, REASON, PROMOTED_BY_A_PERSON)
    mlflow.MlflowClient().set_registered_model_alias(version.name, CHAMPION, version.version)
    _set_tag(version, DECISION, CHAMPION)
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
