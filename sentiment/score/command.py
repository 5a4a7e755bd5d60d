"""`sentiment score FILE`: predict the texts of a file and, with labels, evaluate them."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentiment import options
from sentiment.errors import UserError
from sentiment.project.files.paths import Project
from sentiment.terminal import show

if TYPE_CHECKING:
    import pandas as pd

    from sentiment.score.source import Source
    from sentiment.tracking.loading import LoadedModel

LOG_SECONDS = 30  # between two lines of progress in a log


def check_out(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Check that a new file can have this path.

    Raises:
        click.BadParameter: it exists, has another extension, or its folder is missing.
    """
    if path is None:
        return None
    from sentiment.score.predictions import WRITERS

    if path.suffix not in WRITERS:
        raise click.BadParameter(f"{path} does not end in {' or '.join(WRITERS)}.")
    if path.exists():
        raise click.BadParameter(f"{path} exists. Name another file, or remove it.")
    if not path.parent.is_dir():
        raise click.BadParameter(f"There is no folder {path.parent}. Make it.")
    return path


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--text-column", show_default="fetch.table.text", help="Column of the texts.")
@click.option("--label-column", help="Column of labels, which adds metrics.")
@click.option(
    "--id-column",
    show_default="fetch.table.id",
    help="Column that is copied to the predictions. '': none.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=check_out,
    help="New file of predictions, .parquet or .csv.",
)
@options.any_model("--model", shown_default="champion")
@options.any_model("--against", shown_default=None)
@click.pass_obj
def command(
    project: Project,
    file: Path,
    text_column: str | None,
    label_column: str | None,
    id_column: str | None,
    out: Path | None,
    model: str | None,
    against: str | None,
) -> None:
    """Predict the texts of a FILE, and evaluate the predictions.

    FILE is CSV, TSV, JSON lines or Parquet, or a folder of such files. --out keeps the predictions.
    With labels, they are evaluated and, with --against, compared with those of another model. A
    model is a version, the champion or a run.
    """
    if out is None and label_column is None:
        raise click.UsageError("Name a file with --out, or a column with --label-column, or both.")
    if against and label_column is None:
        raise click.UsageError("--against compares by labels: name their column, --label-column.")
    from sentiment.data.rows import Columns
    from sentiment.project.files.documents import describe_guarded_ids
    from sentiment.project.files.params_file import load_params
    from sentiment.score import report
    from sentiment.score.source import Source
    from sentiment.tracking import address, loading, store

    params = load_params(project)
    table = params.fetch.table
    ids = table.id if id_column is None else id_column
    source = Source(file, Columns(text_column or table.text, label_column, ids or None))
    client = store.connect_to_read(project)
    with address.store_errors():
        loaded = loading.load_named(project, client, model, params.fetch)
        other = loading.load_named(project, client, against, params.fetch) if against else None
        tables = loading.training_tables(client, loaded)
    if loaded.note:
        show(loaded.note)
    if source.is_one_of(project, tables):
        show(f"{loaded.title} was trained on {file}: it is better there than elsewhere.")
    if other and set(other.model.label_names) != set(loaded.model.label_names):
        raise UserError(f"{other.title} has other labels than {loaded.title}.")
    rows, formula_ids = source.check_rows(loaded.model.label_names)
    if out and out.suffix == ".csv" and formula_ids:
        show(describe_guarded_ids(formula_ids, str(out)))

    texts, evaluated = predict_source(source, loaded, rows, out)
    show(f"{loaded.title} on {click.format_filename(file, shorten=True)}: {rows:,} rows")
    if texts < rows:
        show(f"{rows - texts:,} rows have no text, and so no prediction.")
    if label_column is not None:
        show(report.describe_metrics(evaluated))
        if other:
            _, of_other = predict_source(source, other, rows)
            show(report.describe_against(other.title, of_other, evaluated))


def predict_source(
    source: "Source", loaded: "LoadedModel", rows: int, out: Path | None = None
) -> "tuple[int, pd.DataFrame]":
    """Predict the rows of a source, show the progress, and write the predictions.

    Args:
        rows: number of rows. A program may have added others since they were counted.
        out: the new file, or None.

    Returns:
        The number of texts, and their predictions. Without labels, the table is empty: each part of
        it is dropped before the next one is made.
    """
    import pandas as pd
    from tqdm import tqdm

    from sentiment.score import predictions

    bar = tqdm(
        islice(source.rows(), rows),
        total=rows,
        unit=" rows",
        mininterval=1 if sys.stderr.isatty() else LOG_SECONDS,
    )
    predicted = predictions.predict_rows(loaded.model, bar)
    if out:
        predicted = predictions.write_each(predicted, out, loaded.model.label_names)
    made = map(predictions.without_errors, predicted)
    if source.columns.label is None:
        return sum(map(len, made)), pd.DataFrame()
    table = pd.concat(made, ignore_index=True)
    return len(table), table
