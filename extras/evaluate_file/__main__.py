"""`make evaluate FILE=reviews.csv`: ask the champion, or another version, about labelled texts.

FILE is CSV, TSV, JSON lines or Parquet: a path, or an address that fsspec reads. The evaluation is
an MLflow run of its own, linked to the model, and is compared with the model's own test set.
"""

from workflow import cli


@cli.command(__doc__)
@cli.option("--file", variable="FILE", required=True, help="The labelled texts.")
@cli.option(
    "--text",
    variable="TEXT",
    show_default="fetch.table.text of params.yaml",
    help="The column of the texts.",
)
@cli.option(
    "--label",
    variable="LABEL",
    show_default="fetch.table.label",
    help="The column of the labels.",
)
@cli.option(
    "--positive",
    variable="POSITIVE",
    show_default="fetch.table.positive",
    help="The label that is positive.",
)
@cli.model_option
@cli.json_option
def main(
    file: str,
    text: str | None,
    label: str | None,
    positive: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    from extras.evaluate_file import file_run  # imports SciPy and Matplotlib: seconds before --help

    chosen = {"text": text, "label": label, "positive": positive}
    with cli.output_kept(as_json):
        result = file_run.make(file, {key: value for key, value in chosen.items() if value}, model)
    cli.report(result._asdict(), file_run.summary(result), as_json)


if __name__ == "__main__":
    cli.run("make evaluate", main)
