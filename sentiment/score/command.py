"""`sentiment score FILE`: predict texts, and find out how they differ from a version's test set."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentiment.tracking.operations import connect_to_version, model_option, operation_run

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.score.report import Report
    from sentiment.score.source import Source

ALARM_STATUS = 3
LOG_SECONDS = 30  # between two lines of progress in a log


def check_out(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Check that a new file can have this path.

    Raises:
        click.BadParameter: it cannot.
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
@click.option("--id-column", help="Column that is copied to the predictions.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=check_out,
    help="New file of predictions, .parquet or .csv.",
)
@model_option
def command(
    file: Path,
    text_column: str | None,
    label_column: str | None,
    id_column: str | None,
    out: Path | None,
    model_uri: str | None,
) -> None:
    """Predict the texts of a FILE, and say whether they have changed.

    The texts are compared with the test set of the version. FILE is CSV, TSV, JSON lines or
    Parquet, or a folder of such files, such as the log of `sentiment serve`. The exit status is 0
    without an alarm, and 3 with one.
    """
    from sentiment.data.rows import Columns
    from sentiment.project.params_file import load_params
    from sentiment.score import report
    from sentiment.score.source import Source
    from sentiment.tracking import store, versions

    params = load_params()
    columns = Columns(text_column or params.fetch.table.text, label_column, id_column)
    source = Source(file, columns)
    version = connect_to_version(model_uri)
    name = click.format_filename(file, shorten=True)
    title = f"{versions.version_uri(version)} on {name}"
    found = score(source, version, out)
    if found.results and params.evaluate.log_texts:
        texts = source.find_texts(found.results.tables["mistakes"]["row"])
        found = found._replace(results=found.results.with_texts(texts))
    click.echo(f"{title}: {found.rows:,} rows\n{report.describe(found)}")
    with operation_run(version, f"score {name}", {"file": name}) as logged:
        report.log_report(found)
    click.echo(store.describe_run(logged.info.experiment_id, logged.info.run_id))
    if found.alarms:
        sys.exit(ALARM_STATUS)


def score(source: "Source", version: "ModelVersion", out: Path | None) -> "Report":
    """Predict the rows of a source, and compare the predictions with those for the test set.

    Args:
        out: the new file of the predictions. None: they are not kept.
    """
    from tqdm import tqdm

    from sentiment.score import predictions, report
    from sentiment.text.labels import label_names_in
    from sentiment.tracking import versions

    test_set = versions.download_evaluation(str(version.run_id)).predictions
    label_names = label_names_in(test_set.columns)
    rows = source.check_rows(label_names)
    model = versions.load_model(versions.version_uri(version))
    bar = tqdm(
        islice(source.rows(), rows),  # a server may have added rows to its log since
        total=rows,
        unit=" rows",
        mininterval=1 if sys.stderr.isatty() else LOG_SECONDS,
    )
    predicted = predictions.predict_rows(model, bar)
    if out:
        predicted = predictions.write_each(predicted, out, label_names)
    tables = map(predictions.without_errors, predicted)
    return report.make_report(tables, rows, bool(source.columns.label), test_set)
