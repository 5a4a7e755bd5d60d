"""Download the models of an ensemble's members, and put them into one model package."""

from collections.abc import Sequence
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion

from extras.common.evaluated_runs import damaged_as_user_error
from extras.ensemble.members import Member
from sentiment.errors import UserError
from sentiment.serving.pyfunc_model import CONFIG_FILE, WORD_INDEX_FILE
from workflow import files
from workflow.about import AboutEvaluate
from workflow.registry import champion
from workflow.registry.packaging import ModelPackage, PackagedModel
from workflow.registry.versions import version_title
from workflow.tracking import calls_store


@calls_store
def download_package(
    members: Sequence[Member],
    versions: Sequence[ModelVersion],
    about: AboutEvaluate,
    folder: Path,
) -> ModelPackage:
    """Download the members' versions as one model package. Its files remain in a folder.

    Args:
        members: the members.
        versions: the registered version of each member.
        about: the evaluation of the ensemble.
        folder: an empty folder.

    Raises:
        UserError: a file is missing or was changed, or the members have different word indices.
    """
    models = []
    for number, (member, version) in enumerate(zip(members, versions, strict=True), 1):
        own_folder = folder / str(number)
        own_folder.mkdir()
        uri = champion.model_uri_of(version)
        downloaded = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(own_folder)))
        with damaged_as_user_error(version_title(version), "Evaluate its run again."):
            model = read_model(downloaded / "artifacts")
        # Each file has a name of its own in the package.
        path = model.path.rename(model.path.with_name(f"{number}{model.path.suffix}"))
        models.append(model._replace(path=path, weight=member.weight))
    word_indices = [model.path.with_name(WORD_INDEX_FILE) for model in models]
    if len({files.sha256(path) for path in word_indices}) > 1:
        raise UserError(
            "The models have different word indices. Name models that were trained on one dataset."
        )
    return ModelPackage(
        models=models,
        word_index=word_indices[0],
        threshold=about.evaluate.threshold,
        tokenizer=about.dataset.tokenizer,
    )


def read_model(folder: Path) -> PackagedModel:
    """Read the network of a version from the folder that MLflow keeps its files in.

    Raises:
        DamagedError: a file is missing, changed, not listed with a digest, or in another folder.
    """
    path = folder / CONFIG_FILE
    config = files.read_json(path)
    (model,) = config["models"]
    for name in (WORD_INDEX_FILE, model["file"]):
        if name not in config["files"] or (folder / name).resolve().parent != folder.resolve():
            raise files.damaged_error(path, f"{name} is not one of its files")
        files.verified(folder / name, config["files"])
    network_config = {key: model[key] for key in ("layout", "batch_size")}
    return PackagedModel(folder / model["file"], network_config)
