"""`make demote`: take the alias from the champion, and give it back to the one before."""

from workflow import cli
from workflow.registry import champion
from workflow.runs import store


@cli.command(__doc__)
@cli.json_option
def main(as_json: bool) -> None:
    with cli.output_kept(as_json):
        store.connect()
        outcome = champion.demote(champion.registered())
    cli.report(outcome._asdict(), outcome.message, as_json)


if __name__ == "__main__":
    cli.run("make demote", main)
