"""`make server`: the team's MLflow server, with users, on PostgreSQL; settings in server.yaml.

It checks the port, both databases, the secrets and the place of artifacts, brings the databases to
this MLflow's schema, and serves until it is ended. Passwords and keys come from the environment or
from the files of PostgreSQL and AWS: docs/team.md.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from extras.team.server_options import Server, load_options
from sentiment.errors import UserError, redacted
from workflow.commands import command, run_command
from workflow.processes import run_server

MLFLOW = [sys.executable, "-m", "mlflow"]
MLFLOW_AUTH = [sys.executable, "-m", "mlflow.server.auth"]
# in which a worker does not check a password again, which takes 0.2 s of a core
PASSWORD_SECONDS = 60
CONNECTIONS = 5  # that each of a worker's three pools (runs, registered models, users) keeps open
THREADS = 40  # calls that a worker answers at once: AnyIO's default, which MLflow leaves alone


@command(__doc__)
def main() -> int:
    from extras.team import checks

    settings = load_options()
    checks.check(settings)
    with tempfile.TemporaryDirectory() as folder:
        rights = Path(folder, "auth.ini")
        rights.write_text(auth_ini(settings), encoding="utf-8")
        os.environ.update(variables(settings, rights))
        upgrade([*MLFLOW, "db", "upgrade", settings.runs])
        upgrade([*MLFLOW_AUTH, "db", "upgrade", "--url", settings.users])
        print(f"Serving on http://{settings.host}:{settings.port}", flush=True)
        return run_server(server_command(settings), os.environ)


def upgrade(command: list[str]) -> None:
    """Bring a database to this MLflow's schema by MLflow's command; UserError if that fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = redacted(done.stderr.strip().rpartition("\n")[2])
        raise UserError(
            f"{command[-1]} cannot be brought to the schema of this MLflow: {said}. If a newer one "
            "made it, start that; else restore its backup, and see MLflow's notes on this version."
        )


def server_command(settings: Server) -> list[str]:
    return [
        *MLFLOW,
        "server",
        *("--backend-store-uri", settings.runs),
        *("--artifacts-destination", settings.artifacts),
        *("--app-name", "basic-auth"),
        *("--host", settings.host),
        *("--port", str(settings.port)),
        *("--workers", str(settings.workers)),
        *("--allowed-hosts", ",".join(settings.allowed_hosts)),
    ]


def variables(settings: Server, rights: Path) -> dict[str, str]:
    """What MLflow reads from the environment beside its options."""
    values = {
        "MLFLOW_AUTH_CONFIG_PATH": str(rights),
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(CONNECTIONS),
        # `log-batch` holds a connection while it waits for a second one: with no more of them than
        # calls at once, all could wait for ever
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(THREADS + 1 - CONNECTIONS),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if settings.s3_endpoint:
        values["MLFLOW_S3_ENDPOINT_URL"] = settings.s3_endpoint
        # what speaks S3, but is not Amazon's, may not know the newer checksums
        values["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
        values["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
    return values


def auth_ini(settings: Server) -> str:
    return f"""\
[mlflow]
default_permission = {settings.default_permission}
database_uri = {settings.users.replace("%", "%%")}
admin_username = admin
auth_cache_ttl_seconds = {PASSWORD_SECONDS}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


if __name__ == "__main__":
    run_command("make server", main)
