"""`make promote RUN=…`: make a run's model the champion, whatever the rule decided."""

from workflow import cli
from workflow.registry import champion
from workflow.runs import store


@cli.command(__doc__)
@cli.option(
    "--run",
    variable="RUN",
    required=True,
    help="The run's id, which `make sync` and `make ui` show.",
)
@cli.json_option
def main(run: str, as_json: bool) -> None:
    with cli.output_kept(as_json):
        store.connect()
        outcome = champion.promote(run)
    cli.report(outcome._asdict(), outcome.message, as_json)


if __name__ == "__main__":
    cli.run("make promote", main)
