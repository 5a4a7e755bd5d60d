"""The folder of the predictions of a file.

`inputs.json` is written first and `manifest.json` last. Between them, each finished part is a file
in `parts/`, which is moved there when it is complete.
"""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict

from sentiment.errors import UserError, first_line
from workflow import files

INPUTS_FILE = "inputs.json"
MANIFEST = "manifest.json"
RUN_ID_FILE = "run_id"  # the run of the last call
PARTS = "parts"  # a folder of its own, so that its readers find predictions only


class PredictionInputs(BaseModel):
    """What all parts in a folder were made from.

    Attributes:
        file_sha256: digest of the file.
        version: URI of the version.
        logged_model: URI of the version's model, since a new store counts versions from 1 again.
        text_column: the column of the texts.
        id_column: the column that is copied to the predictions.
        part_rows: number of rows in a part.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_sha256: str
    version: str
    logged_model: str
    text_column: str
    id_column: str | None
    part_rows: int


class Counts(NamedTuple):
    """Numbers of rows: all, and those without a prediction."""

    rows: int
    errors: int


def read_prediction_inputs(folder: Path) -> PredictionInputs | None:
    """Read what the parts in a folder were made from, or return None if it is new or empty.

    Raises:
        UserError: something else is in its place.
    """
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return None
        return PredictionInputs.model_validate_json((folder / INPUTS_FILE).read_bytes())
    except (OSError, ValueError):
        raise UserError(
            f"{folder} exists, and it is no folder of this command. Name a new folder."
        ) from None


def prepare_folder(folder: Path, inputs: PredictionInputs) -> None:
    """Make a folder for the predictions from some inputs, or resume one.

    Raises:
        UserError: the folder has parts that were made from other inputs.
    """
    earlier = read_prediction_inputs(folder)
    if earlier is None:
        (folder / PARTS).mkdir(parents=True)
        files.write_json(folder / INPUTS_FILE, inputs.model_dump())
    elif earlier != inputs:
        values = inputs.model_dump()
        differing = [name for name, value in earlier if value != values[name]]
        raise UserError(
            f"{folder} has predictions with another {', '.join(differing)}. Name a new folder, or "
            "remove this one."
        )
    (folder / MANIFEST).unlink(missing_ok=True)  # parts may have been removed


def replace_run_id(folder: Path, run_id: str) -> str:
    """Write the id of the run of this call, and return the previous call's, or an empty string."""
    path = folder / RUN_ID_FILE
    previous = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(run_id, encoding="utf-8")
    return previous


def part_path(folder: Path, number: int) -> Path:
    """Return the file of a part. The names are in the order of the rows."""
    return folder / PARTS / f"part-{number:06}.parquet"


def write_part(path: Path, predictions: pa.Table) -> None:
    """Write the file of a part, whole or not at all. Only its owner can read it."""
    # Two commands may write the same part. Readers of Parquet skip names that start with a dot.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            parquet.write_table(predictions, file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def count_predictions(paths: Iterable[Path]) -> Counts:
    """Count the rows in the files of parts.

    Raises:
        UserError: a file is damaged.
    """
    rows = 0
    errors = 0
    for path in paths:
        try:
            with path.open("rb") as file:  # PyArrow takes some paths for URIs
                table = parquet.read_table(file, columns=["error"])
        except pa.ArrowException as error:
            raise UserError(
                f"{path} is damaged ({first_line(error)}). Remove it, and call the command again."
            ) from None
        rows += len(table)
        errors += len(table) - table["error"].null_count
    return Counts(rows, errors)
