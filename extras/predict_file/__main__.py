"""`make batch-predict FILE=texts.csv OUT=folder`: predict a file of any size with the champion.

FILE is CSV, TSV, JSON lines or Parquet: a path, or a URL that fsspec reads. OUT gets Parquet files
with a row for each text, without the text, and finally manifest.json. If the command is called
again, it continues where it stopped.
"""

import math
import sys
from pathlib import Path
from typing import Any

import click

from workflow import commands


@commands.command(__doc__)
@commands.option("--file", envvar="FILE", required=True, help="Table of texts: a path or a URL.")
@commands.option(
    "--out",
    envvar="OUT",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for the predictions.",
)
@commands.option(
    "--text-column", envvar="TEXT_COLUMN", default="text", help="The column of the texts."
)
@commands.option("--id-column", envvar="ID_COLUMN", help="A column to copy to the predictions.")
@commands.model_option
@commands.option(
    "--workers",
    envvar="WORKERS",
    type=click.IntRange(min=1),
    help="Number of processes on this machine.",
)
@commands.option("--scheduler", envvar="SCHEDULER", help="URL of a Dask scheduler to use instead.")
@commands.option(
    "--max-error-rate",
    envvar="MAX_ERROR_RATE",
    type=click.FloatRange(0, 1),
    default=0.01,
    help="The share of rows without a prediction above which the exit status is 1.",
)
@commands.json_option
def main(max_error_rate: float, as_json: bool, **request: Any) -> int:
    # This imports pandas and pyarrow, which would delay --help by seconds.
    from extras.batch_predict import run

    if math.isnan(max_error_rate):  # click compares, and every comparison with NaN is false
        raise click.UsageError("nan is not a share. Set --max-error-rate from 0 to 1.")
    with commands.stdout_to_stderr(as_json):
        manifest = run.predict_file(run.BatchRequest(**request))
    message = run.format_manifest(manifest, request["out"])
    commands.print_result(manifest, message, as_json)
    if manifest["errors"] <= max_error_rate * manifest["rows"]:
        return 0
    print(
        f"More than {max_error_rate:.2%} of the rows have no prediction. The column `error` says "
        "why.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    commands.run_command("make batch-predict", main)
