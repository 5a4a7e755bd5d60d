"""`sentiment monitor FILE`: find out whether texts still look like a version's test set."""

import sys
from pathlib import Path

import click

from extras.common.operations import connect_to_version, model_option, operation_run

ALARM_STATUS = 3
REPORTS = Path("reports")  # of files to label; git ignores it


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--text-column", show_default="fetch.table.text", help="Column of a table's texts.")
@click.option(
    "--label-sample",
    type=click.IntRange(min=1),
    help="Write this number of random texts to a file, to be labeled.",
)
@model_option
def command(
    file: Path, text_column: str | None, label_sample: int | None, model_uri: str | None
) -> None:
    """Compare the texts of FILE with the test set of a version.

    FILE is a log of `sentiment serve` (its folder, or a file of it), or a table of texts, which the
    version predicts. The exit status is 3 for an alarm, and 0 otherwise.
    """
    from extras.common.predicted_texts import read_log
    from extras.monitor import report
    from extras.monitor.window import draw_texts, is_log, predict_window, read_table
    from workflow import store, versions
    from workflow.params_file import load_params

    table = load_params().fetch.table
    source = read_log(file) if is_log(file) else read_table(file, text_column or table.text)
    version = connect_to_version(model_uri)
    with store.store_errors():
        test_set = versions.download_evaluation(str(version.run_id)).predictions
        window = predict_window(source, version)
    to_label = draw_texts(window, label_sample) if label_sample else []
    found = report.compare(window, test_set)
    name = click.format_filename(file, shorten=True)
    with operation_run(version, f"monitor {name}", {"file": name}) as run:
        report.log_drift(found)
    uri = versions.version_uri(version)
    click.echo(f"{name}: {len(window.texts):,} texts against the test set of {uri}")
    click.echo(report.describe_drift(found))
    click.echo(f"Run: {store.run_url(run.info.experiment_id, run.info.run_id)}")
    if to_label:
        label_file = REPORTS / f"label-{run.info.run_id[:8]}.csv"
        report.write_label_file(label_file, to_label, table)
        click.echo(f"{len(to_label):,} texts to label: {label_file}")
    if found.alarms:
        sys.exit(ALARM_STATUS)
