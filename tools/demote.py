"""`make demote`: take the alias from the champion, and give it back to the one before."""

from sentiment import process
from sentiment.registry import champion
from sentiment.registry import versions as registry
from sentiment.runs import store
from tools.running import cli


@cli.command(__doc__)
@cli.json_option
def main(as_json: bool) -> None:
    with cli.output_kept(as_json):
        store.connect()
        with process.noting_signals():  # none may come between two changes of the store
            outcome = registry.demote(champion.registered())
    cli.report(outcome._asdict(), outcome.message, as_json)


if __name__ == "__main__":
    cli.run("make demote", main)
