"""`make score FILE=texts.csv OUT=folder`: the champion's answers to a file of texts of any size.

FILE is CSV, TSV, JSON lines or Parquet: a path, or an address that fsspec reads. OUT gets Parquet
files with a row for each text, without the text, and in the end manifest.json. Called again, the
command goes on where it ended.
"""

import sys
from pathlib import Path
from typing import Any

import click

from workflow import commands


@commands.command(__doc__)
@commands.option("--file", envvar="FILE", required=True, help="The texts.")
@commands.option(
    "--out", envvar="OUT", required=True, type=click.Path(path_type=Path), help="A folder."
)
@commands.option("--text", envvar="TEXT", default="text", help="The column of the texts.")
@commands.option("--id", "identity", envvar="ID", help="A column to copy beside the answers.")
@commands.model_option
@commands.option("--workers", envvar="WORKERS", type=click.IntRange(min=1), help="Processes here.")
@commands.option(
    "--scheduler", envvar="SCHEDULER", help="Address of a Dask scheduler to use instead."
)
@commands.option(
    "--most-errors",
    envvar="MOST_ERRORS",
    type=click.FloatRange(0, 1),
    default=0.01,
    help="The share of rows without an answer above which the exit status is 1.",
)
@commands.json_option
def main(most_errors: float, as_json: bool, **request: Any) -> int:
    from extras.score import score_run  # imports pandas and pyarrow: seconds before --help

    with commands.stdout_to_stderr(as_json):
        manifest = score_run.run(score_run.Request(**request))
    commands.print_result(manifest, score_run.summary(manifest, request["out"]), as_json)
    if manifest["errors"] <= most_errors * manifest["rows"]:
        return 0
    print(
        f"More than {most_errors:.2%} of the rows have no answer; `error` says why.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    commands.run_command("make score", main)
