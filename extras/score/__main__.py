"""`make score FILE=texts.csv OUT=folder`: the champion's answers to a file of texts of any size.

FILE is CSV, TSV, JSON lines or Parquet: a path, or an address that fsspec reads. OUT gets Parquet
files with a row for each text, without the text, and in the end manifest.json. Called again, the
command goes on where it ended.
"""

import sys
from pathlib import Path
from typing import Any

import click

from workflow import cli


@cli.command(__doc__)
@cli.option("--file", variable="FILE", required=True, help="The texts.")
@cli.option(
    "--out", variable="OUT", required=True, type=click.Path(path_type=Path), help="A folder."
)
@cli.option("--text", variable="TEXT", default="text", help="The column of the texts.")
@cli.option("--id", "identity", variable="ID", help="A column to copy beside the answers.")
@cli.model_option
@cli.option("--workers", variable="WORKERS", type=click.IntRange(min=1), help="Processes here.")
@cli.option("--scheduler", variable="SCHEDULER", help="Address of a Dask scheduler to use instead.")
@cli.option(
    "--most-errors",
    variable="MOST_ERRORS",
    type=click.FloatRange(0, 1),
    default=0.01,
    help="The share of rows without an answer above which the exit status is 1.",
)
@cli.json_option
def main(most_errors: float, as_json: bool, **request: Any) -> int:
    from extras.score import score_run  # imports pandas and pyarrow: seconds before --help

    with cli.output_kept(as_json):
        manifest = score_run.run(score_run.Request(**request))
    cli.report(manifest, score_run.summary(manifest, request["out"]), as_json)
    if manifest["errors"] <= most_errors * manifest["rows"]:
        return 0
    print(
        f"More than {most_errors:.2%} of the rows have no answer; `error` says why.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    cli.run("make score", main)
