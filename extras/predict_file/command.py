"""The command `sentiment predict-file`."""

from pathlib import Path

import click

from extras.common.operations import model_option
from sentiment.errors import UserError

MAX_ERROR_SHARE = 0.01  # of the rows


@click.command()
@click.argument("file")
@click.argument("out")
@click.option("--text-column", default="text", show_default=True, help="The column of the texts.")
@click.option("--id-column", help="A column that is copied to the predictions.")
@model_option
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes on this machine.")
@click.option("--scheduler", help="Address of a Dask scheduler, whose workers are used instead.")
def command(
    file: str,
    out: str,
    text_column: str,
    id_column: str | None,
    model_uri: str | None,
    workers: int | None,
    scheduler: str | None,
) -> None:
    """Predict all texts in a FILE, and write the predictions into the folder OUT.

    FILE is CSV, TSV, JSON lines or Parquet. OUT gets Parquet files with a row for each text, and
    finally manifest.json. If the command was killed, call it again: it continues where it stopped.
    """
    for path in (file, out):
        if "://" in path:
            raise UserError(f"{path} is a URL. Name a path on this machine.")
    if workers and scheduler:
        raise click.UsageError("Use either --workers or --scheduler.")
    from workflow import store

    if scheduler and not store.is_server(store.tracking_uri()):
        raise UserError(
            "The workers of a scheduler cannot reach the tracking store, which is no server. Set "
            "MLFLOW_TRACKING_URI to an MLflow server that they reach."
        )
    from extras.predict_file.run import FileRequest, predict_file

    request = FileRequest(
        Path(file), Path(out), text_column, id_column, model_uri, workers, scheduler
    )
    manifest = predict_file(request)
    rows = manifest["rows"]
    errors = manifest["errors"]
    click.echo(
        f"{rows:,} rows of {manifest['file']} by {manifest['version']}: "
        f"{errors:,} without a prediction\n"
        f"Run {manifest['run_id']}; the predictions are in {out}"
    )
    if errors > MAX_ERROR_SHARE * rows:
        raise UserError(
            f"{errors:,} of {rows:,} rows have no prediction, which is more than "
            f"{MAX_ERROR_SHARE:.0%}. The column `error` says why. Correct these rows."
        )
