"""`make evaluate-file FILE=reviews.csv`: evaluate the champion on labeled texts.

FILE is CSV, TSV, JSON lines or Parquet: a path, or a URL that fsspec reads. The evaluation is an
MLflow run of its own, linked to the model, and is compared with the model's own test set. With LOG,
FILE has ids of requests in the column `request_id`. Their predictions are read from the log.
"""

from collections.abc import Callable
from typing import Any

from workflow import commands


def table_option(name: str, param: str, description: str) -> Callable[[Any], Any]:
    """Declare an option that replaces a param of `fetch.table`."""
    return commands.option(
        f"--{name}",
        param,
        envvar=name.upper().replace("-", "_"),
        show_default=f"fetch.table.{param} of params.yaml",
        help=description,
    )


@commands.command(__doc__)
@commands.option(
    "--file", envvar="FILE", required=True, help="Table of labeled texts: a path or a URL."
)
@table_option("text-column", "text", "The column of the texts.")
@table_option("label-column", "label", "The column of the labels.")
@table_option("positive-label", "positive", "The label that is positive.")
@commands.option(
    "--log", envvar="LOG", help="The log of `make serve LOG=…`: the folder, or a file."
)
@commands.model_option
@commands.json_option
def main(file: str, model_uri: str | None, as_json: bool, **options: str | None) -> None:
    # This imports SciPy and Matplotlib, which would delay --help by seconds.
    from extras.evaluate_file import run

    log = options.pop("log") or ""
    changes = {name: value for name, value in options.items() if value}
    with commands.stdout_to_stderr(as_json):
        result = run.evaluate_file(file, changes, model_uri, log)
    commands.print_result(result, run.format_result(result), as_json)


if __name__ == "__main__":
    commands.run_command("make evaluate-file", main)
