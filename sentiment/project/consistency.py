"""Check that the folders of `data/` belong together, which people may change by hand."""

from pathlib import Path

from sentiment.errors import UserError
from sentiment.params import TrainParams
from sentiment.project import paths
from sentiment.project.digests import file_digest
from sentiment.project.documents import missing_error, read_json
from sentiment.project.manifest import ModelManifest
from sentiment.project.training_key import training_keys


def check_source(folder: Path, source: Path) -> None:
    """Check that a folder was made from another one as it is now, by their manifests.

    Raises:
        UserError: it was not.
    """
    made_from = read_json(folder / paths.MANIFEST_NAME)
    if not read_json(source / paths.MANIFEST_NAME).items() <= made_from.items():
        raise UserError(f"{folder} was made from another {source}. Run `dvc repro`.")


def check_training(manifest: ModelManifest, params: TrainParams) -> None:
    """Check that `data/` has the training that the params and the current files describe.

    Args:
        manifest: that of `data/train`.
        params: the current params.

    Raises:
        UserError: a folder was made from other files, or the model is another one.
    """
    check_source(paths.PAD_FOLDER, paths.FETCH_FOLDER)
    if training_keys(params).training_key != manifest.training_key:
        raise UserError(
            f"{paths.TRAIN_FOLDER} has another training than the one that params.yaml, "
            f"{paths.PAD_FOLDER} and the code describe. Run `dvc repro`."
        )
    check_model(manifest)


def check_model(manifest: ModelManifest) -> None:
    """Check that `model.keras` is the model that the stage `train` wrote.

    Raises:
        UserError: it is missing, or another one.
    """
    if not paths.MODEL_FILE.exists():
        raise missing_error(paths.MODEL_FILE)
    if file_digest(paths.MODEL_FILE) != manifest.model_digest:
        raise UserError(
            f"{paths.MODEL_FILE} is not the model that the stage train wrote. Run `dvc repro`, "
            "which makes it or takes it from DVC's cache."
        )
