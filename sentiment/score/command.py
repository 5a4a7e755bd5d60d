"""`sentiment score FILE`: predict the texts of a file and, with labels, evaluate them."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentiment import options
from sentiment.project.paths import Project

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel
    from sentiment.score.report import Report
    from sentiment.score.source import Source

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
@options.model_uri(shown_default="the champion")
@click.pass_obj
def command(
    project: Project,
    file: Path,
    text_column: str | None,
    label_column: str | None,
    id_column: str | None,
    out: Path | None,
    model_uri: str | None,
) -> None:
    """Predict the texts of a FILE, and evaluate the predictions.

    FILE is CSV, TSV, JSON lines or Parquet, or a folder of such files. --out keeps the predictions.
    With labels, they are evaluated.
    """
    if out is None and label_column is None:
        raise click.UsageError("Name a file with --out, or a column with --label-column, or both.")
    from sentiment.data.rows import Columns
    from sentiment.project.params_file import load_params
    from sentiment.score import report
    from sentiment.score.source import Source
    from sentiment.tracking import address, models, registry, store
    from sentiment.tracking.operations import operation_run

    params = load_params(project)
    table = params.fetch.table
    id_column = table.id if id_column is None else id_column
    columns = Columns(text_column or table.text, label_column, id_column or None)
    source = Source(file, columns)
    client = store.connect_to_read(project)
    with address.store_errors():
        version, model, note = models.load_version(project, client, model_uri, params.fetch)
    if note:
        click.echo(note)
    name = click.format_filename(file, shorten=True)
    found = score(source, model, out)
    if found.results and params.evaluate.log_texts:
        texts = source.find_texts(found.results.tables["mistakes"]["row"])
        found = found._replace(results=found.results.with_texts(texts))
    click.echo(f"{registry.version_uri(version)} on {name}: {report.describe(found)}")
    with operation_run(project, client, version, f"score {name}", {"file": name}) as logged:
        report.log_report(client, logged.info.run_id, found)
    info = logged.info
    click.echo(store.describe_pages(client.tracking_uri, info.experiment_id, info.run_id))


def score(source: "Source", model: "SentimentModel", out: Path | None) -> "Report":
    """Predict the rows of a source.

    Args:
        out: the new file of the predictions. None: they are not kept.
    """
    from tqdm import tqdm

    from sentiment.project.documents import describe_guarded_ids
    from sentiment.score import predictions, report

    rows, formula_ids = source.check_rows(model.label_names)
    if out and out.suffix == ".csv" and formula_ids:
        click.echo(describe_guarded_ids(formula_ids, str(out)))
    bar = tqdm(
        islice(source.rows(), rows),  # a program may have added rows since
        total=rows,
        unit=" rows",
        mininterval=1 if sys.stderr.isatty() else LOG_SECONDS,
    )
    predicted = predictions.predict_rows(model, bar)
    if out:
        predicted = predictions.write_each(predicted, out, model.label_names)
    tables = map(predictions.without_errors, predicted)
    return report.make_report(tables, rows, bool(source.columns.label))
