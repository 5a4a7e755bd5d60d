"""`make demote`: take the alias from the champion and return it to the previous champion."""

from workflow.commands import command, json_option, print_result, run_command, stdout_to_stderr
from workflow.registry.champion import demote, registered_model_name


@command(__doc__)
@json_option
def main(as_json: bool) -> None:
    with stdout_to_stderr(as_json):
        change = demote(registered_model_name())
    print_result(change._asdict(), change.message, as_json)


if __name__ == "__main__":
    run_command("make demote", main)
