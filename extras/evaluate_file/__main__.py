"""`make evaluate FILE=reviews.csv`: ask the champion, or another version, about labelled texts.

FILE is CSV, TSV, JSON lines or Parquet: a path, or an address that fsspec reads. The evaluation is
an MLflow run of its own, linked to the model, and is compared with the model's own test set.
With LOG, FILE has ids of requests in the column `request_id`, whose answers the log has.
"""

from collections.abc import Callable
from typing import Any

from workflow import cli


def setting(name: str, description: str) -> Callable[[Any], Any]:
    """An option in place of a setting of `fetch.table`."""
    default = f"fetch.table.{name} of params.yaml"
    return cli.option(f"--{name}", variable=name.upper(), show_default=default, help=description)


@cli.command(__doc__)
@cli.option("--file", variable="FILE", required=True, help="The labelled texts.")
@setting("text", "The column of the texts.")
@setting("label", "The column of the labels.")
@setting("positive", "The label that is positive.")
@cli.option("--log", variable="LOG", help="The folder of `make serve LOG=…`.")
@cli.model_option
@cli.json_option
def main(file: str, model: str | None, as_json: bool, **settings: str | None) -> None:
    from extras.evaluate_file import file_run  # imports SciPy and Matplotlib: seconds before --help

    log = settings.pop("log") or ""
    changes = {name: value for name, value in settings.items() if value}
    with cli.output_kept(as_json):
        result = file_run.make(file, changes, model, log)
    cli.report(result, file_run.summary(result), as_json)


if __name__ == "__main__":
    cli.run("make evaluate", main)
