"""Read the predictions of a run from the store."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sentiment.errors import UserError
from sentiment.project.files.documents import damaged_error, missing_error
from sentiment.project.files.paths import PREDICTIONS_FILE
from sentiment.text.labels import label_names_in, probability_column

if TYPE_CHECKING:
    import pandas as pd  # takes a second, for which `--help` should not wait
    from mlflow import MlflowClient


def check_predictions(client: "MlflowClient", run_id: str) -> None:
    """Check that a run has predictions.

    Raises:
        UserError: it has none.
    """
    logged = {artifact.path for artifact in client.list_artifacts(run_id)}
    if PREDICTIONS_FILE not in logged:
        raise UserError(
            f"Run {run_id} has no {PREDICTIONS_FILE}. Run `sentiment log` in the folder that has "
            "its results, or name another run."
        )


def download_predictions(client: "MlflowClient", run_id: str) -> "pd.DataFrame":
    """Return the predictions of a run for the test set.

    Raises:
        UserError: the run has no predictions, or they are damaged.
    """
    check_predictions(client, run_id)
    with tempfile.TemporaryDirectory() as scratch:
        client.download_artifacts(run_id, PREDICTIONS_FILE, scratch)
        try:
            return read_predictions(Path(scratch, PREDICTIONS_FILE))
        except UserError:
            raise UserError(
                f"{PREDICTIONS_FILE} of run {run_id} in MLflow is damaged. Run `sentiment log` in "
                "the folder that has its results, or name another run."
            ) from None


def read_predictions(path: Path) -> "pd.DataFrame":
    """Read predictions as `write_table` wrote them, with the same labels and probabilities.

    Raises:
        UserError: the file is missing or damaged.
    """
    import pandas as pd

    try:
        labels = label_names_in(pd.read_csv(path, nrows=0).columns)
        types = {
            **dict.fromkeys(("id", "text_id", "actual", "predicted"), "str"),
            **{probability_column(label): "float32" for label in labels},
        }
        # Without the last argument, the label `null` would be a missing value.
        predictions = pd.read_csv(path, dtype=types, keep_default_na=False)
    except FileNotFoundError:
        raise missing_error(path) from None
    except ValueError as error:
        raise damaged_error(path, error) from None
    # No label starts with a space: `write_table` has put it there.
    unguarded = {
        column: predictions[column].str.removeprefix(" ")
        for column in ("actual", "predicted")
        if column in predictions
    }
    return predictions.assign(**unguarded)
