"""`make evaluate FILE=reviews.csv`: evaluate the champion, or another version, on labeled texts.

FILE is CSV, TSV, JSON lines or Parquet: a path, or a URL that fsspec reads. The evaluation is an
MLflow run of its own, linked to the model, and is compared with the model's own test set. With LOG,
FILE has ids of requests in the column `request_id`. Their predictions are read from the log.
"""

from collections.abc import Callable
from typing import Any

from workflow import commands


def table_option(name: str, description: str) -> Callable[[Any], Any]:
    """Declare an option that replaces a param of `fetch.table`."""
    default = f"fetch.table.{name} of params.yaml"
    return commands.option(f"--{name}", envvar=name.upper(), show_default=default, help=description)


@commands.command(__doc__)
@commands.option("--file", envvar="FILE", required=True, help="The labeled texts.")
@table_option("text", "The column of the texts.")
@table_option("label", "The column of the labels.")
@table_option("positive", "The label that is positive.")
@commands.option(
    "--log", envvar="LOG", help="The log of `make serve LOG=…`: the folder, or a file."
)
@commands.model_option
@commands.json_option
def main(file: str, model_uri: str | None, as_json: bool, **options: str | None) -> None:
    from extras.evaluate_file import file_run  # imports SciPy and Matplotlib: seconds before --help

    log = options.pop("log") or ""
    changes = {name: value for name, value in options.items() if value}
    with commands.stdout_to_stderr(as_json):
        result = file_run.evaluate_file(file, changes, model_uri, log)
    commands.print_result(result, file_run.format_result(result), as_json)


if __name__ == "__main__":
    commands.run_command("make evaluate", main)
