"""`make evaluate FILE=reviews.csv`: ask the champion, or another version, about labelled texts.

FILE is CSV, TSV, JSON lines or Parquet: a path, or an address that fsspec reads. The evaluation is
an MLflow run of its own, linked to the model, and is compared with the model's own test set.
With LOG, FILE has ids of requests in the column `request_id`, whose answers the log has.
"""

from collections.abc import Callable
from typing import Any

from workflow import commands


def setting(name: str, description: str) -> Callable[[Any], Any]:
    """Declare an option that replaces a param of `fetch.table`."""
    default = f"fetch.table.{name} of params.yaml"
    return commands.option(f"--{name}", envvar=name.upper(), show_default=default, help=description)


@commands.command(__doc__)
@commands.option("--file", envvar="FILE", required=True, help="The labelled texts.")
@setting("text", "The column of the texts.")
@setting("label", "The column of the labels.")
@setting("positive", "The label that is positive.")
@commands.option("--log", envvar="LOG", help="The folder of `make serve LOG=…`.")
@commands.model_option
@commands.json_option
def main(file: str, model_uri: str | None, as_json: bool, **settings: str | None) -> None:
    from extras.evaluate_file import file_run  # imports SciPy and Matplotlib: seconds before --help

    log = settings.pop("log") or ""
    changes = {name: value for name, value in settings.items() if value}
    with commands.stdout_to_stderr(as_json):
        result = file_run.make(file, changes, model_uri, log)
    commands.print_result(result, file_run.summary(result), as_json)


if __name__ == "__main__":
    commands.run_command("make evaluate", main)
