"""The registered model of a data set: a version for each evaluated run, and its champion.

That of IMDB is `imdb-sentiment`. Models of other data have others, so that champions of different
data never meet. The alias `champion` moves by the rule in `params.yaml` (`promote`) as a run is
evaluated, or by hand, see `workflow.registry.champion`; the version's tags say which, and why.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sentiment.errors import UserError, first_line
from workflow import files
from workflow.params import Promote
from workflow.registry import packaging, turns
from workflow.registry.packaging import Parts
from workflow.registry.rule import NEEDED, Decision, Evaluated, decide, read_evaluated
from workflow.runs import logger, store
from workflow.runs.logger import Run, RunLogger, guarded

if TYPE_CHECKING:
    import mlflow
    from mlflow.entities.model_registry import ModelVersion

ENDINGS = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$", re.IGNORECASE)
CHAMPION = "champion"
DATASET = "dataset"  # tag of a version
SERVED_DIGEST = "served.sha256"  # tag of a version: digest of all that it answers by
LOGS = "served.log"  # tag of a version whose code can log what it answers
PROMOTED = "champion"
# tags of a version: what was decided, by whom (`rule` or a person) and why
DECISION, DECIDED_BY, REASON = "promote.decision", "promote.by", "promote.reason"
REPLACED = "promote.replaced"  # tag: the version that was champion before, or `NOBODY`
NOBODY = "none"
# tags: the champion that a version was tested against last, and as which candidate, from 1
AGAINST, NUMBER = "promote.against", "promote.candidate"
# tag of a champion: the number of each candidate tested against it, also of deleted ones, as JSON
CANDIDATES = "promote.candidates"
BY_RULE = "rule"
PROFILE = "profile.json"  # beside a version's evaluation
EVALUATION = "evaluate.sha256"  # tag: digest of the about.json of what it was decided by


def model_name(dataset: str) -> str:
    """What the registered model of a data set is called, of tables by their names."""
    plain = re.sub(r"[^\w-]+", "-", ENDINGS.sub("", dataset)).strip("-")
    if plain != dataset and plain in ("", "imdb", "synthetic"):  # these are other data
        plain = f"{plain}-table".strip("-")
    return f"{plain}-sentiment"


class Served(NamedTuple):
    """What is registered: a served model, the version's tags, and the `promote` section."""

    parts: Parts
    tags: Mapping[str, str]
    rule: Promote


@guarded
def register(log: RunLogger, served: Served, folder: Path, profile: Mapping[str, Any]) -> None:
    """Make the run's served model a version of the registered one, once; let the rule decide.

    The version keeps the evaluation in `folder`, by which it is decided: the run's own may change
    later; and the profile of its texts. Its tag `dataset` says which registered model it is of.
    """
    import mlflow

    client, name, run = mlflow.MlflowClient(), model_name(served.tags[DATASET]), log.run
    tags = {
        **served.tags,
        SERVED_DIGEST: packaging.digest(served.parts),
        LOGS: "True",
        EVALUATION: files.sha256(folder / files.ABOUT),
    }
    with turns.of_this_folder():
        version = _version(client, name, run, served.parts, tags)
        logger.upload(run, folder, NEEDED, _place(version))
        client.log_dict(run.run_id, dict(profile), f"{_place(version)}/{PROFILE}")
        with turns.turn(client, name) as deciding:
            promote_by_rule(deciding, version, folder, served.rule)


def _version(
    client: "mlflow.MlflowClient", name: str, run: Run, parts: Parts, tags: Mapping[str, str]
) -> "ModelVersion":
    """The version of just this model, which is made if there is none."""
    for version in versions(client, run.run_id):
        if version.name == name and version.tags.get(SERVED_DIGEST) == tags[SERVED_DIGEST]:
            tag(client, version, tags)
            return version
    model_id = packaging.log_model(client, run, parts)
    _ensure_registered(client, name)
    source = f"models:/{model_id}"  # which a server believes, given the id
    return client.create_model_version(name, source, run.run_id, tags=dict(tags), model_id=model_id)


def _place(version: "ModelVersion") -> str:
    """Where a version's evaluation is among its run's artifacts."""
    return f"versions/{version.version}"


def versions(client: "mlflow.MlflowClient", run_id: str) -> "list[ModelVersion]":
    """The versions that were made from a run, the newest first."""
    unsorted = client.search_model_versions(f"run_id = '{run_id}'")
    return sorted(unsorted, key=lambda version: int(version.version), reverse=True)


def _ensure_registered(client: "mlflow.MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            name, description="Raw text of a review to label and probability of positive."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def tag(client: "mlflow.MlflowClient", version: "ModelVersion", tags: Mapping[str, str]) -> None:
    for key, text in tags.items():
        client.set_model_version_tag(version.name, version.version, key, text)


def champion(client: "mlflow.MlflowClient", name: str) -> "ModelVersion | None":
    """The version of a registered model that is champion, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code in (*store.ABSENT, "INVALID_PARAMETER_VALUE"):
            return None
        raise


def promote_by_rule(
    client: "mlflow.MlflowClient", version: "ModelVersion", folder: Path, rule: Promote
) -> None:
    """Let the rule decide about a version by its folder, in a turn of this client.

    It does not if a person did, or if the version is champion already.
    """
    version = client.get_model_version(version.name, version.version)
    current = champion(client, version.name)
    by_person = version.tags.get(DECIDED_BY, BY_RULE) != BY_RULE
    if by_person or (current and current.version == version.version):
        return
    candidates: dict[str, int] = json.loads(current.tags.get(CANDIDATES, "{}")) if current else {}
    number = candidates.setdefault(str(version.version), max(candidates.values(), default=0) + 1)
    decision = _decide_against(current, read_evaluated(folder), rule, number)
    verdict = PROMOTED if decision.promoted else "not promoted"
    whom = f" (the champion: version {current.version})" if current else ""
    tags = {DECISION: verdict, DECIDED_BY: BY_RULE, REASON: decision.reason + whom}
    if current and decision.tested:
        tag(client, current, {CANDIDATES: json.dumps(candidates)})
        tags |= {AGAINST: str(current.version), NUMBER: str(number)}
    if decision.promoted:
        make_champion(client, version, current, tags)
    else:
        tag(client, version, tags)
    print(f"{described(version)}: {verdict}, {decision.reason}")


def _decide_against(
    current: "ModelVersion | None", candidate: Evaluated, rule: Promote, number: int
) -> Decision:
    """Decide; a champion whose evaluation is lost keeps its place, and holds nobody else up."""
    from mlflow.exceptions import MlflowException

    if current is None:
        return Decision(True, "there was no champion")
    again, problem = "", "the champion's evaluation cannot be read"
    try:
        former = evaluated_of(current)
        if former.test_data != candidate.test_data:
            again = "; the champion was asked again, about these test reviews"
            problem = "evaluated on other reviews than the champion, which is not asked about them"
            former = ask_again(current, former, candidate)
    except files.DamagedError as error:  # its folder may be one that is removed by now
        return Decision(False, f"{problem}: {error.path.name} {error.problem}")
    except (UserError, MlflowException, OSError) as error:
        return Decision(False, f"{problem}: {first_line(error)}")
    decision = decide(candidate, former, rule, number)
    return decision._replace(reason=decision.reason + again)


def ask_again(version: "ModelVersion", former: Evaluated, candidate: Evaluated) -> Evaluated:
    """A version's own answers to the test reviews of a candidate, which `data/fetch` has.

    It was trained on none that are new to it if just the added texts changed: `table.join` puts
    each on one side for good. Else, or if it numbers words in another way, a UserError is raised.
    """
    if former.data != candidate.data or "fetch.add" not in candidate.data:
        raise UserError("it may have been trained on some of them")
    model = packaging.load(f"models:/{version.name}/{version.version}")
    if model.word_index != files.read_json(files.checked(files.FETCH / "word_index.json")):
        raise UserError("it numbers words in another way")
    reviews = files.read_reviews(files.FETCH, "test")
    probability = model.classifier.predict_probability([review.tolist() for review in reviews])
    predicted = [model.label_of(answer) for answer in probability]
    table = candidate.predictions.assign(predicted=predicted, probability=probability)
    return candidate._replace(predictions=table)


def evaluated_of(version: "ModelVersion") -> Evaluated:
    """What the rule needs of a version, from its run; UserError if it is not as it was."""
    import mlflow

    with tempfile.TemporaryDirectory() as scratch:
        place = f"runs:/{version.run_id}/{_place(version)}"
        folder = Path(mlflow.artifacts.download_artifacts(place, dst_path=scratch))
        files.checked(folder / files.ABOUT, {files.ABOUT: version.tags.get(EVALUATION, "")})
        return read_evaluated(folder)


def profile_of(version: "ModelVersion") -> dict[str, Any]:
    """What `register` got of a version's texts; UserError if that was nothing."""
    import mlflow
    from mlflow.exceptions import MlflowException

    place = f"runs:/{version.run_id}/{_place(version)}/{PROFILE}"
    try:
        return dict(mlflow.artifacts.load_dict(place))
    except (MlflowException, OSError):
        raise UserError(
            f"{described(version)} has no profile to compare texts with: an earlier version of "
            "this project registered it. It can still be served and scored with."
        ) from None


def make_champion(
    client: "mlflow.MlflowClient",
    version: "ModelVersion",
    current: "ModelVersion | None",
    tags: Mapping[str, str],
) -> None:
    """Move the alias, once the version says why: one without a reason is never champion."""
    tag(client, version, {**tags, REPLACED: str(current.version) if current else NOBODY})
    client.set_registered_model_alias(version.name, CHAMPION, version.version)


def described(version: "ModelVersion") -> str:
    return f"Version {version.version} of {version.name}"
