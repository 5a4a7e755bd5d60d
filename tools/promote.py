"""`make promote RUN=…`: make a run's model the champion, whatever the promotion rule decided."""

from workflow.commands import (
    command,
    json_option,
    option,
    print_result,
    run_command,
    stdout_to_stderr,
)
from workflow.registry.champion import promote


@command(__doc__)
@option(
    "--run",
    "run_id",
    envvar="RUN",
    required=True,
    help="The run's id, which `make sync` and `make ui` show.",
)
@json_option
def main(run_id: str, as_json: bool) -> None:
    with stdout_to_stderr(as_json):
        change = promote(run_id)
    print_result(change._asdict(), change.message, as_json)


if __name__ == "__main__":
    run_command("make promote", main)
