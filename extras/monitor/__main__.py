"""`make monitor FILE=…`: compare current texts with the test set of a model.

FILE is a log of `make serve`, a folder of logs, or a file of texts. The exit status is 3 for an
alarm, and 0 within limits or for too few texts.
"""

import click

from workflow import commands

ALARM_STATUS = 3


@commands.command(__doc__)
@commands.option("--file", envvar="FILE", required=True, help="A log, a folder of logs, or texts.")
@commands.option(
    "--text-column",
    envvar="TEXT_COLUMN",
    show_default="fetch.table.text",
    help="The column of the texts.",
)
@commands.option(
    "--label-sample",
    envvar="LABEL_SAMPLE",
    type=click.IntRange(min=0),
    default=0,
    help="Write this number of random texts to a file, to be labeled.",
)
@commands.model_option
@commands.json_option
def main(
    file: str, text_column: str | None, label_sample: int, model_uri: str | None, as_json: bool
) -> int:
    # These import Matplotlib and SciPy, which would delay --help by seconds.
    from extras.monitor import page, run

    with commands.stdout_to_stderr(as_json):
        report = run.create_report(file, model_uri, text_column, label_sample)
    commands.print_result(report, page.render_text(report), as_json)
    return ALARM_STATUS if report["status"] == run.ALARM else 0


if __name__ == "__main__":
    commands.run_command("make monitor", main)
