"""The registered model of a dataset: one version for each evaluated model, and the champion.

The registered model of IMDB is `imdb-sentiment`. Other datasets have others, so that champions of
different data never compete. The alias `champion` moves by the rule in params.yaml (`promote`) when
a model is evaluated, or by hand (see `workflow.registry.champion`). The version's tags say why.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sentiment.data.params import Dataset
from sentiment.errors import UserError, first_line
from workflow import files, store, tracking
from workflow.params import PromoteParams
from workflow.registry import model_card, packaging
from workflow.registry.packaging import ModelPackage
from workflow.registry.promotion import (
    NEEDED_FILES,
    Decision,
    StoredEvaluation,
    decide_promotion,
    read_evaluation,
)
from workflow.tracking import Run, calls_store

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

TABLE_EXTENSION = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$", re.IGNORECASE)
CHAMPION_ALIAS = "champion"
# Values of `DECISION_TAG`.
PROMOTED = "champion"
NOT_PROMOTED = "not promoted"
RULE = "rule"  # value of `DECIDED_BY_TAG`
NO_VERSION = "none"
PROFILE_FILE = "profile.json"  # among the artifacts of a version's evaluation
# Tags of a version.
DATASET_TAG = "dataset"
PACKAGE_TAG = "served.sha256"  # digest of everything that its predictions depend on
EVALUATION_TAG = "evaluate.sha256"  # digest of the about.json of its evaluation
DECISION_TAG = "promote.decision"
DECIDED_BY_TAG = "promote.by"  # the rule, or a person
REASON_TAG = "promote.reason"
REPLACED_TAG = "promote.replaced"  # the version that was champion before, or NO_VERSION
AGAINST_TAG = "promote.against"  # the champion that it was tested against
TEST_NUMBER_TAG = "promote.candidate"  # number of the test against that champion, from 1
# Tag of a champion: the number of each test against it, as JSON, by version and test set. Deleted
# versions stay in it.
TEST_NUMBERS_TAG = "promote.candidates"


def model_name(dataset: str) -> str:
    """Return the name of a dataset's registered model, such as `imdb-sentiment`."""
    plain = re.sub(r"[^\w-]+", "-", TABLE_EXTENSION.sub("", dataset)).strip("-")
    if plain != dataset and plain in ("", "imdb", "synthetic"):  # a table of that name
        plain = f"{plain}-table".strip("-")
    return f"{plain}-sentiment"


class Registration(NamedTuple):
    """The data of one registration.

    Attributes:
        dataset: the dataset that the model was trained on.
        package: the model package.
        tags: tags of the version.
        profile: numbers that later texts are compared with, see `sentiment.profile`.
        card: the model card without the decision, see `workflow.registry.model_card`.
        promote: the params of the promotion rule.
    """

    dataset: str
    package: ModelPackage
    tags: Mapping[str, str]
    profile: Mapping[str, Any]
    card: str
    promote: PromoteParams


@calls_store
def register_model(run: Run, registration: Registration, folder: Path) -> None:
    """Register a model package of a run, once, and let the rule decide about its promotion.

    Args:
        run: the run that evaluated the model.
        folder: folder of the evaluation. The version keeps a copy, because the files of the run may
            be replaced.
    """
    import mlflow

    client = mlflow.MlflowClient()
    name = model_name(registration.dataset)
    digest = packaging.package_digest(registration.package)
    tags = {
        **registration.tags,
        DATASET_TAG: registration.dataset,
        PACKAGE_TAG: digest,
        EVALUATION_TAG: files.sha256(folder / files.ABOUT_FILE),
    }
    version = _find_version(run, name, digest)
    if version is None:
        model_id = packaging.log_package(run, registration.package)
        _ensure_registered_model(client, name)
        source = f"models:/{model_id}"
        version = client.create_model_version(
            name, source, run.run_id, tags=tags, model_id=model_id
        )
    set_version_tags(client, version, tags)
    tracking.log_files(run, folder, NEEDED_FILES, _artifact_path(version))
    profile = json.dumps(dict(registration.profile), indent=2, ensure_ascii=False)
    tracking.log_text(run, profile, f"{_artifact_path(version)}/{PROFILE_FILE}")
    promote_by_rule(client, version, folder, registration.promote)
    _write_description(client, version, registration.card)


def _write_description(client: "mlflow.MlflowClient", version: "ModelVersion", card: str) -> None:
    tags = client.get_model_version(version.name, version.version).tags
    # A version without a decision is champion because a person moved the alias in MLflow.
    decided_by = tags.get(DECIDED_BY_TAG, "a person").removeprefix("person: ")
    description = model_card.describe_version(
        decision=tags.get(DECISION_TAG, PROMOTED),
        decided_by="the promotion rule" if decided_by == RULE else decided_by,
        reason=tags.get(REASON_TAG, "the alias was moved in MLflow"),
        card=card,
    )
    client.update_model_version(version.name, version.version, description)


def _find_version(run: Run, name: str, digest: str) -> "ModelVersion | None":
    for version in versions_of_run(run.run_id):
        if version.name == name and version.tags.get(PACKAGE_TAG) == digest:
            return version
    return None


def _artifact_path(version: "ModelVersion") -> str:
    """Return the artifact path of a version's evaluation in its run."""
    return f"versions/{version.version}"


@calls_store
def versions_of_run(run_id: str) -> "list[ModelVersion]":
    """Return the versions that were made from a run, the newest first."""
    import mlflow

    versions = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    return sorted(versions, key=lambda version: int(version.version), reverse=True)


def _ensure_registered_model(client: "mlflow.MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            name,
            description="Predicts from the text of a review whether it is positive, and with what "
            "probability.",
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def set_version_tags(
    client: "mlflow.MlflowClient", version: "ModelVersion", tags: Mapping[str, str]
) -> None:
    """Set tags of a version."""
    for tag, value in tags.items():
        client.set_model_version_tag(version.name, version.version, tag, value)


def find_champion(client: "mlflow.MlflowClient", name: str) -> "ModelVersion | None":
    """Return the champion of a registered model, or None if it has no champion."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION_ALIAS)
    except MlflowException as error:
        if error.error_code in (*store.NOT_FOUND_CODES, "INVALID_PARAMETER_VALUE"):
            return None
        raise


def promote_by_rule(
    client: "mlflow.MlflowClient", version: "ModelVersion", folder: Path, params: PromoteParams
) -> None:
    """Let the rule decide about a version, given the folder of its evaluation.

    The rule does not decide about a champion, nor about a version that a person decided about. It
    decides again if the champion was replaced in the meantime.
    """
    version = client.get_model_version(version.name, version.version)
    if version.tags.get(DECIDED_BY_TAG, RULE) != RULE:
        return
    candidate = read_evaluation(folder)
    while True:
        champion = find_champion(client, version.name)
        if champion and champion.version == version.version:
            return
        tests: dict[str, int] = {}
        if champion:
            tests = json.loads(champion.tags.get(TEST_NUMBERS_TAG, "{}"))
        # With a larger test set, the same candidate is tested again.
        test = f"{version.version}@{candidate.test_digest[:8]}"
        number = tests.setdefault(test, max(tests.values(), default=0) + 1)
        decision = _decide_against(champion, candidate, params, number)
        current_champion = find_champion(client, version.name)
        if _version_number(current_champion) == _version_number(champion):
            break
    verdict = PROMOTED if decision.promoted else NOT_PROMOTED
    outcome = "is now the champion" if decision.promoted else "is not promoted"
    against = f" (the champion: version {champion.version})" if champion else ""
    tags = {
        DECISION_TAG: verdict,
        DECIDED_BY_TAG: RULE,
        REASON_TAG: decision.reason + against,
    }
    if champion and decision.tested:
        set_version_tags(client, champion, {TEST_NUMBERS_TAG: json.dumps(tests)})
        tags[AGAINST_TAG] = str(champion.version)
        tags[TEST_NUMBER_TAG] = str(number)
    if decision.promoted:
        set_champion(client, version, champion, tags)
    else:
        set_version_tags(client, version, tags)
    print(f"{version_title(version)} {outcome}: {decision.reason}")


def _version_number(version: "ModelVersion | None") -> str | None:
    return None if version is None else str(version.version)


def _decide_against(
    champion: "ModelVersion | None", candidate: StoredEvaluation, params: PromoteParams, number: int
) -> Decision:
    """Decide about a candidate. A champion whose evaluation was lost or changed stays champion."""
    if champion is None:
        return Decision(True, "there was none before")
    try:
        evaluation = load_evaluation(champion)
    except files.DamagedError as error:  # name the file only: its temporary folder is removed
        cause = f"{error.path.name} {error.problem}"
        return Decision(False, f"the champion's evaluation cannot be read: {cause}")
    if evaluation.test_digest == candidate.test_digest:
        return decide_promotion(candidate, evaluation, params, number)
    try:
        evaluation = evaluate_on_new_test_set(champion, evaluation, candidate)
    except UserError as error:
        return Decision(
            False,
            "the champion was evaluated on another test set, and cannot be compared on this one: "
            f"{first_line(error)}",
        )
    decision = decide_promotion(candidate, evaluation, params, number)
    reason = f"{decision.reason}; the champion has now been evaluated on this test set"
    return decision._replace(reason=reason)


def evaluate_on_new_test_set(
    version: "ModelVersion", evaluation: StoredEvaluation, candidate: StoredEvaluation
) -> StoredEvaluation:
    """Evaluate a version on the test reviews of a candidate, which `data/fetch` has.

    This is fair only if nothing but the added texts changed: each text is in the training set or in
    the test set for good, so the version was not trained on any new test review.

    Raises:
        UserError: the version may have been trained on some of the reviews, or has another word
            index.
    """
    if not _have_only_added_texts_changed(evaluation.dataset, candidate.dataset):
        raise UserError("it may have been trained on some of these reviews")
    model = packaging.load_model(f"models:/{version.name}/{version.version}")
    if model.word_index != files.read_json(files.verified(files.FETCH / "word_index.json")):
        raise UserError("it has another word index")
    reviews = files.read_reviews(files.FETCH, "test")
    probability = model.classifier.predict_probability([review.tolist() for review in reviews])
    predicted = [model.label_of(value) for value in probability]
    table = candidate.predictions.assign(predicted=predicted, probability=probability)
    return candidate._replace(predictions=table)


def _have_only_added_texts_changed(a: Dataset, b: Dataset) -> bool:
    if a.added_texts is None:
        return False
    ignored = {"added_texts_sha256": None}
    return a.model_copy(update=ignored) == b.model_copy(update=ignored)


@calls_store
def load_evaluation(version: "ModelVersion") -> StoredEvaluation:
    """Load a version's evaluation from its run.

    Raises:
        DamagedError: a file was changed.
        StoreError: the files cannot be downloaded.
    """
    import mlflow

    artifact_path = _artifact_path(version)
    if not mlflow.MlflowClient().list_artifacts(str(version.run_id), artifact_path):
        raise files.missing_error(Path(artifact_path) / files.ABOUT_FILE)
    with tempfile.TemporaryDirectory() as scratch:
        uri = f"runs:/{version.run_id}/{artifact_path}"
        folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=scratch))
        expected = {files.ABOUT_FILE: version.tags.get(EVALUATION_TAG, "")}
        files.verified(folder / files.ABOUT_FILE, expected)
        return read_evaluation(folder)


@calls_store
def load_profile(version: "ModelVersion") -> dict[str, Any]:
    """Load the profile that a version was registered with.

    Raises:
        UserError: the version has no profile.
        StoreError: the profile cannot be downloaded.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    artifact_path = f"{_artifact_path(version)}/{PROFILE_FILE}"
    client = mlflow.MlflowClient()
    try:
        listed = client.list_artifacts(str(version.run_id), _artifact_path(version))
    except MlflowException as error:
        if error.error_code not in store.NOT_FOUND_CODES:
            raise
        listed = []
    if artifact_path not in {artifact.path for artifact in listed}:
        raise UserError(
            f"{version_title(version)} has no profile to compare texts with. Run `make sync` in "
            "the project that has its data/, or train it again."
        )
    return dict(mlflow.artifacts.load_dict(f"runs:/{version.run_id}/{artifact_path}"))


@calls_store
def load_word_index(version: "ModelVersion") -> dict[str, int]:
    """Load the frequency rank of each word that a version knows, from 1.

    Raises:
        StoreError: the word index cannot be downloaded.
    """
    import mlflow

    from sentiment.serving.pyfunc_model import WORD_INDEX_FILE

    uri = f"models:/{version.name}/{version.version}/artifacts/{WORD_INDEX_FILE}"
    return dict(mlflow.artifacts.load_dict(uri))


def set_champion(
    client: "mlflow.MlflowClient",
    version: "ModelVersion",
    replaced: "ModelVersion | None",
    tags: Mapping[str, str],
) -> None:
    """Set the tags that give the reason, then move the alias: every champion has a reason."""
    number = str(replaced.version) if replaced else NO_VERSION
    set_version_tags(client, version, {**tags, REPLACED_TAG: number})
    client.set_registered_model_alias(version.name, CHAMPION_ALIAS, version.version)


def version_title(version: "ModelVersion") -> str:
    """Return the name of a version in messages."""
    return f"Version {version.version} of {version.name}"


def version_tags(metrics: Mapping[str, Any], digests: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a version: its test metrics, and the digests of model and test set."""
    plain = {name: str(value) for name, value in metrics.items() if not isinstance(value, dict)}
    return {**plain, **digests}
