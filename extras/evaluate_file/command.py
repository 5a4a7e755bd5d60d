"""`sentiment evaluate-file FILE`: evaluate a version on labeled texts."""

from pathlib import Path

import click

from extras.common.operations import connect_to_version, model_option, operation_run

REQUEST_ID = "request_id"  # column of a file of labels for predictions in a log


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--text-column", show_default="fetch.table.text", help="Column of the texts.")
@click.option("--label-column", show_default="fetch.table.label", help="Column of the labels.")
@click.option("--positive-label", show_default="fetch.table.positive", help="The positive label.")
@click.option(
    "--log",
    "log_path",
    type=click.Path(exists=True, path_type=Path),
    help="A log of `sentiment serve`: its folder, or a file of it.",
)
@model_option
def command(
    file: Path,
    text_column: str | None,
    label_column: str | None,
    positive_label: str | None,
    log_path: Path | None,
    model_uri: str | None,
) -> None:
    """Evaluate a version on the labeled texts of FILE, beside its own test set.

    With --log, FILE has ids of requests in the column request_id in place of texts. Their
    predictions are read from the log.
    """
    if log_path and text_column:
        raise click.UsageError("--text-column has no meaning with --log: remove it.")
    from extras.common.predicted_texts import read_log
    from extras.evaluate_file import labeled, report
    from sentiment.data.binary_labels import normalize_label
    from sentiment.data.rows import Columns
    from workflow import store, versions
    from workflow.params_file import load_params

    all_params = load_params()
    table = all_params.fetch.table
    columns = Columns(
        text=REQUEST_ID if log_path else text_column or table.text,
        label=label_column or table.label,
    )
    positive = normalize_label(positive_label or table.positive)
    labels = labeled.read_labels(file, columns, positive)
    log = read_log(log_path) if log_path else None
    version = connect_to_version(model_uri)
    with store.store_errors():
        predictions = labeled.predict_labeled(labels, log, version)
        test_set = versions.download_evaluation(str(version.run_id)).predictions
    name = click.format_filename(file, shorten=True)
    params = {"file": name, "text": columns.text, "label": columns.label, "positive": positive}
    title = f"version {version.version} on {name}"
    evaluation = report.evaluate(predictions, title, all_params.evaluate.log_texts)
    with operation_run(version, f"evaluate {name}", params) as run:
        report.log_result(evaluation)
    if log:
        click.echo(labeled.describe_matches(labels, predictions))
    click.echo(f"{versions.version_uri(version)} on {name}: {report.describe_texts(predictions)}")
    click.echo(report.compare_metrics(predictions, test_set).to_string(index=False))
    click.echo(f"Run: {store.run_url(run.info.experiment_id, run.info.run_id)}")
