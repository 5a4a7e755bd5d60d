"""`make monitor FILE=…`: whether what arrives is like what the model was tested on.

FILE is a log of `make serve`, a folder of logs, or a file of texts. Ends with status 3 for an
alarm, and with 0 within limits or for too few texts.
"""

import click

from workflow import commands

ALARM_STATUS = 3


@commands.command(__doc__)
@commands.option("--file", envvar="FILE", required=True, help="A log, a folder of logs, or texts.")
@commands.option("--text", envvar="TEXT", help="The column of the texts, as fetch.table.text.")
@commands.option(
    "--label",
    envvar="LABEL",
    type=click.IntRange(min=0),
    default=0,
    help="How many random texts to write to a file, to be labelled.",
)
@commands.model_option
@commands.json_option
def main(file: str, text: str | None, label: int, model_uri: str | None, as_json: bool) -> int:
    from extras.monitor import monitor_run  # imports Matplotlib and SciPy: seconds before --help

    with commands.stdout_to_stderr(as_json):
        report = monitor_run.make(file, model_uri, text, label)
    commands.print_result(report, monitor_run.summary(report), as_json)
    return ALARM_STATUS if report["status"] == monitor_run.ALARM else 0


if __name__ == "__main__":
    commands.run_command("make monitor", main)
