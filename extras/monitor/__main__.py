"""`make monitor FILE=…`: whether what arrives is like what the model was tested on.

FILE is a log of `make serve`, a folder of logs, or a file of texts. Ends with status 3 for an
alarm, and with 0 within limits or for too few texts.
"""

import click

from workflow import cli

ALARM_STATUS = 3


@cli.command(__doc__)
@cli.option("--file", variable="FILE", required=True, help="A log, a folder of logs, or texts.")
@cli.option("--text", variable="TEXT", help="The column of the texts, as fetch.table.text.")
@cli.option(
    "--label",
    variable="LABEL",
    type=click.IntRange(min=0),
    default=0,
    help="How many random texts to write to a file, to be labelled.",
)
@cli.model_option
@cli.json_option
def main(file: str, text: str | None, label: int, model: str | None, as_json: bool) -> int:
    from extras.monitor import monitor_run  # imports Matplotlib and SciPy: seconds before --help

    with cli.output_kept(as_json):
        report = monitor_run.make(file, model, text, label)
    cli.report(report, monitor_run.summary(report), as_json)
    return ALARM_STATUS if report["status"] == monitor_run.ALARM else 0


if __name__ == "__main__":
    cli.run("make monitor", main)
