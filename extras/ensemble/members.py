"""The models of an ensemble: which they are, and their files from the registry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from mlflow.entities.model_registry import ModelVersion

from extras.common.evaluated_runs import RunGroup, Training, belonging_to
from sentiment.errors import UserError
from sentiment.serving.pyfunc_model import CLASSIFIERS, CONFIG_FILE, WORD_INDEX_FILE
from workflow import files, tracking
from workflow.about import AboutEvaluate
from workflow.outputs import TEST_DIGEST
from workflow.registry import champion
from workflow.registry.packaging import KERAS_CLASSIFIER, ModelPackage, PackagedModel
from workflow.registry.versions import version_title
from workflow.tracking import calls_store

RUNS = "ensemble.runs"  # param of an ensemble: its members' runs and their weights
SHUFFLE = "pad.shuffle_seed"


class Member(NamedTuple):
    """An evaluated training that takes part, and the weight of its answers."""

    training: Training
    weight: float


def choose(groups: Sequence[RunGroup]) -> list[Member]:
    """All trainings of the groups, each group with the same weight.

    Raises:
        UserError: there is only one, one is named twice, or they are of other data.
    """
    members = [
        Member(training, 1 / len(groups) / len(group.trainings))
        for group in groups
        for training in group.trainings
    ]
    if len(members) < 2:
        raise UserError("An ensemble needs two models or more: name two runs, or a group of seeds.")
    if len({member.training.run_id for member in members}) < len(members):
        raise UserError("A training is named twice, or is in a group that is named, too.")
    first = members[0].training
    for other, _ in members:
        if RUNS in other.params:
            raise UserError(f"{other.name} is an ensemble itself: name its members.")
        for name, value in data_of(first).items():
            if other.params.get(name) != value:
                raise UserError(
                    f"{first.name} and {other.name} differ in {name}, {value} and "
                    f"{other.params.get(name)}: an ensemble needs models of the same data."
                )
    return members


def data_of(training: Training) -> dict[str, Any]:
    """Return the params that say which reviews a training had, and the digest of the test set."""
    return {
        name: value
        for name, value in training.params.items()
        if name.startswith("fetch.") or name in (SHUFFLE, TEST_DIGEST)
    }


@calls_store
def download(
    members: Sequence[Member],
    versions: Sequence[ModelVersion],
    about: AboutEvaluate,
    folder: Path,
) -> ModelPackage:
    """Download the members' versions as one model package, whose files remain in a folder.

    Args:
        about: the evaluation of the ensemble.

    Raises:
        UserError: a file is missing or was changed, or the members have different word indices.
    """
    models = []
    for number, (member, version) in enumerate(zip(members, versions, strict=True), 1):
        own_folder = folder / str(number)
        own_folder.mkdir()
        uri = champion.model_uri_of(version)
        downloaded = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(own_folder)))
        with belonging_to(version_title(version), "Evaluate its run again."):
            model = read_model(downloaded / "artifacts")
        # Each file has a name of its own in the package.
        path = model.path.rename(model.path.with_name(f"{number}{model.path.suffix}"))
        models.append(model._replace(path=path, weight=member.weight))
    indices = [model.path.with_name(WORD_INDEX_FILE) for model in models]
    if len({files.sha256(index) for index in indices}) > 1:
        raise UserError("The models number words in other ways: an ensemble needs the same.")
    has_network = any(model.classifier == KERAS_CLASSIFIER for model in models)
    return ModelPackage(
        models=models,
        word_index=indices[0],
        threshold=about.evaluate.threshold,
        packages=tracking.SERVING_PACKAGES if has_network else tracking.LINEAR_PACKAGES,
        tokenizer=about.dataset.tokenizer,
        classifier="ensemble_classifier",
    )


def read_model(folder: Path) -> PackagedModel:
    """Read the model of a version from the folder that MLflow keeps its files in.

    Raises:
        DamagedError: a file is missing, changed, not listed with a digest, or elsewhere; or the
            model's classifier is unknown.
    """
    path = folder / CONFIG_FILE
    config = files.read_json(path)
    model = config["model"]
    name = model["file"]
    classifier = model["classifier"]
    if classifier not in CLASSIFIERS:  # its module is imported to load the ensemble
        raise files.damaged_error(path, f"{classifier!r} is not one of {', '.join(CLASSIFIERS)}")
    for file in (WORD_INDEX_FILE, name):
        if file not in config["files"] or (folder / file).resolve().parent != folder.resolve():
            raise files.damaged_error(path, f"{file} is not one of its files")
        files.verified(folder / file, config["files"])
    network = {key: model[key] for key in ("layout", "batch_size") if key in model}
    return PackagedModel(folder / name, network, classifier=classifier)
