"""The models of an ensemble: which they are, and their files from the registry."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from extras.common.evaluated_runs import RunGroup, Training, belonging_to
from extras.ensemble import ensemble_reader
from sentiment.errors import UserError
from sentiment.serving import classifier, keras_reader
from workflow import files
from workflow.files import TEST_DATA
from workflow.params import tokenizer_of
from workflow.registry import champion, packaging
from workflow.registry.packaging import Model, Parts
from workflow.runs import logger

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

RUNS = "ensemble.runs"  # param of an ensemble: its members' runs and their weights
READER = re.compile(r"(sentiment\.serving|extras\.\w+)\.\w+_reader")  # of a model
SHUFFLE, SPLIT = "pad.shuffle_seed", "train.validation_split"


class Member(NamedTuple):
    """An evaluated training that takes part, and the weight of its answers."""

    training: Training
    weight: float


def choose(groups: Sequence[RunGroup]) -> list[Member]:
    """All trainings of the groups, each group with the same weight.

    Raises:
        UserError: there is only one, one is named twice, or they are of other data.
    """
    share = 1 / len(groups)
    members = [
        Member(training, share / len(group.trainings))
        for group in groups
        for training in group.trainings
    ]
    if len({member.training.run_id for member in members}) < len(members):
        raise UserError("A training is named twice, or is in a group that is named, too.")
    if len(members) < 2:
        raise UserError("An ensemble needs two models or more: name two runs, or a group of seeds.")
    for member in members:
        if RUNS in member.training.params:
            raise UserError(f"{member.training.name} is an ensemble itself: name its members.")
        _require_alike(members[0].training, member.training)
    return members


def _require_alike(first: Training, other: Training) -> None:
    for name, value in data_of(first).items():
        if data_of(other).get(name) != value:
            raise UserError(
                f"{first.name} and {other.name} differ in {name}, {value} and "
                f"{data_of(other).get(name)}: an ensemble needs models of the same data."
            )


def data_of(training: Training) -> dict[str, Any]:
    """The params that say which reviews a training had, and the digest of the test set."""
    same = (SHUFFLE, TEST_DATA)
    return {
        name: value
        for name, value in training.params.items()
        if name.startswith("fetch.") or name in same
    }


def versions_of(members: Sequence[Member]) -> "list[ModelVersion]":
    """The registered version of each member; UserError if one has none."""
    import mlflow

    client = mlflow.MlflowClient()
    return [champion.evaluated_version(client, member.training.run_id) for member in members]


def download(
    members: Sequence[Member], registered: "Sequence[ModelVersion]", threshold: float, folder: Path
) -> Parts:
    """Download the members' files and put the served model together from them.

    Args:
        members: of the ensemble.
        registered: the version of each.
        threshold: of the ensemble.
        folder: an empty folder, where the files remain.

    Raises:
        UserError: a file is missing or was changed, or the members number words in other ways.
    """
    models: list[Model] = []
    indices: list[Path] = []
    for member, version in zip(members, registered, strict=True):
        (model, *_), index = _artifacts(version, folder)
        models.append(model._replace(weight=member.weight))
        indices.append(index)
    if len({files.sha256(index) for index in indices}) > 1:
        raise UserError("The models number words in other ways: an ensemble needs the same.")
    named = [_named(model, number, folder) for number, model in enumerate(models, 1)]
    networks = any(model.reader == keras_reader.READER for model in named)
    packages = logger.SERVING_PACKAGES if networks else logger.LINEAR_PACKAGES
    tokenizer = tokenizer_of(members[0].training.params)
    return Parts(named, indices[0], threshold, packages, tokenizer, ensemble_reader.READER)


def _artifacts(version: "ModelVersion", folder: Path) -> tuple[list[Model], Path]:
    import mlflow

    place = folder / str(version.version)
    place.mkdir()
    uri = f"models:/{version.name}/{version.version}"
    downloaded = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(place)))
    named = f"Version {version.version} of {version.name}"
    with belonging_to(named, "Evaluate its run again."):
        return read_artifacts(downloaded / "artifacts")


def read_artifacts(folder: Path) -> tuple[list[Model], Path]:
    """The models and the word index of a served model, from the folder that MLflow keeps them in.

    Raises:
        DamagedError: a file is missing, was changed, is not listed with a digest, or is elsewhere;
            or a model's reader is none of this project.
    """
    path = folder / classifier.SETTINGS
    settings = files.read_json(path)
    digests = settings["files"]
    models = _models(settings)
    for reader in (model["reader"] for model in models):  # it is to be imported and packed
        if not READER.fullmatch(reader) or not packaging.module(reader).is_file():
            raise files.damaged(path, f"{reader} is no reader of this project")
    for name in [classifier.INDEX, *(model["file"] for model in models)]:
        # the version's author wrote the name, which may be that of any file on this machine
        if name not in digests or (folder / name).resolve().parent != folder.resolve():
            raise files.damaged(path, f"{name} is not one of its files")
        files.checked(folder / name, digests)
    return [
        Model(
            folder / model.pop("file"),
            weight=model.pop("weight"),
            reader=model.pop("reader"),
            settings=model,
        )
        for model in models
    ], folder / classifier.INDEX


def _models(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """What the settings of a served model say of each model that answers."""
    if "model" in settings:
        model = settings["model"]
        members: list[dict[str, Any]] = model.get("members", [model])
        return members
    if "models" not in settings:  # registered before there were ensembles
        (file,) = settings["files"].keys() - {classifier.INDEX}
        network = {name: settings[name] for name in ("layout", "batch_size") if name in settings}
        settings["models"] = [{"file": file, "weight": 1.0, **network}]
    for model in settings["models"]:  # registered before they named their readers
        linear = model["file"].endswith(".npz")
        model["reader"] = "extras.common.linear_reader" if linear else keras_reader.READER
    return list(settings["models"])


def _named(model: Model, number: int, folder: Path) -> Model:
    """The model under a name that no other one has."""
    place = folder / f"{number}{model.path.suffix}"
    shutil.copyfile(model.path, place)
    return model._replace(path=place)
