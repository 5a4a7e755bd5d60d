"""`make compare`: compare two runs or seed groups: what changed, and whether one is better.

A is the champion and B this workspace, unless you name them: `workspace`, `champion`, an MLflow
run's id, or the id of a seed group's parent run (`make seeds`).
Writes `reports/compare-<a>-<b>/`, and logs it to both runs.
"""

from dataclasses import asdict

from extras.common.parent_runs import CHAMPION, WORKSPACE
from workflow import commands


@commands.command(__doc__)
@commands.option("--a", envvar="A", default=CHAMPION, help="The run to compare with.")
@commands.option("--b", envvar="B", default=WORKSPACE, help="The run that is compared.")
@commands.json_option
def main(a: str, b: str, as_json: bool) -> None:
    # These import SciPy and Matplotlib, which would delay --help by seconds.
    from extras.compare import page, text

    with commands.stdout_to_stderr(as_json):
        result, folder = page.compare_and_log(a, b)
    report = str(folder / page.PAGE)
    printed = f"{text.format_comparison(result)}\n\nThe full report: {report}"
    commands.print_result({**asdict(result), "report": report}, printed, as_json)


if __name__ == "__main__":
    commands.run_command("make compare", main)
