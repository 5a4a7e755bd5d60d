"""`make migrate TO=https://…`: this laptop's whole history in MLflow into the team's server.

Every run, model, version and artifact, with the ids, numbers and dates that it has here. This is
the administrator's work: it needs the server's database, which server.yaml names. It can be called
again, brings nothing twice, and deletes nothing here.
"""

from extras.team.server_options import load_options
from workflow.commands import (
    command,
    json_option,
    option,
    print_result,
    run_command,
    stdout_to_stderr,
)


@command(__doc__)
@option("--to", envvar="TO", required=True, help="The server's address.")
@json_option
def main(to: str, as_json: bool) -> int:
    from extras.team import migration

    with stdout_to_stderr(as_json):
        result = migration.migrate(load_options(), to)
    print_result(result, migration.summary(result, to), as_json)
    return int(not result["equal"])


if __name__ == "__main__":
    run_command("make migrate", main)
