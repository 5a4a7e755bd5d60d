"""`make migrate TO=https://… DATABASE=postgresql://…`: copy this folder's runs to a team's server.

Every run, model, version and artifact, with the ids, numbers and dates that it has here. The
command writes to the server's database, so only the administrator can use it. It can be called
again, copies nothing twice, and deletes nothing.
"""

from workflow.commands import (
    command,
    json_option,
    option,
    print_result,
    run_command,
    stdout_to_stderr,
)


@command(__doc__)
@option("--to", envvar="TO", required=True, help="The server's URL.")
@option(
    "--database",
    envvar="DATABASE",
    required=True,
    help="The URL of the database that the server keeps runs in, such as postgresql:///mlflow. "
    "PGHOST, PGUSER and PGPASSWORD supply what it leaves out.",
)
@json_option
def main(to: str, database: str, as_json: bool) -> int:
    from extras.team import migration

    with stdout_to_stderr(as_json):
        result = migration.migrate(database, to)
    print_result(result, migration.format_result(result, to), as_json)
    return int(not result["equal"])


if __name__ == "__main__":
    run_command("make migrate", main)
