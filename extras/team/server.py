"""`make server`: the team's MLflow server, with users, on PostgreSQL; settings in server.yaml.

It checks the port, both databases, the secrets and the place of artifacts, brings the databases to
this MLflow's schema, and serves until it is ended. Passwords and keys come from the environment or
from the files of PostgreSQL and AWS: docs/team.md.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from extras.team.server_options import THREADS, Server, load_options, settings_option
from sentiment.errors import UserError, redacted
from workflow import children, cli

MLFLOW = [sys.executable, "-m", "mlflow"]
AUTH = [sys.executable, "-m", "mlflow.server.auth"]


@cli.command(__doc__)
@settings_option
def main(path: Path) -> int:
    from extras.team import checks

    wanted = load_options(path)
    checks.check(wanted, os.environ)
    with tempfile.TemporaryDirectory() as folder:
        rights = Path(folder, "auth.ini")
        rights.write_text(auth_ini(wanted), encoding="utf-8")
        environment = {**os.environ, **variables(wanted, rights)}
        migrate(wanted, environment)
        print(f"Serving on http://{wanted.host}:{wanted.port}", flush=True)
        return children.run(command(wanted), environment)


def migrate(wanted: Server, environment: Mapping[str, str]) -> None:
    """Bring both databases to this MLflow's schema, by its own commands.

    Raises:
        UserError: a migration failed.
    """
    for upgrade in (
        [*MLFLOW, "db", "upgrade", wanted.runs],
        [*AUTH, "db", "upgrade", "--url", wanted.users],
    ):
        done = subprocess.run(upgrade, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = redacted("\n".join(done.stderr.splitlines()[-5:]))
            raise UserError(
                f"The migration of {upgrade[-1]} failed. Restore its backup, then see MLflow's "
                f"notes on this version:\n{said}"
            )


def command(wanted: Server) -> list[str]:
    """The command that serves."""
    return [
        *MLFLOW,
        "server",
        *("--backend-store-uri", wanted.runs),
        *("--artifacts-destination", wanted.artifacts),
        *("--app-name", "basic-auth"),
        *("--host", wanted.host),
        *("--port", str(wanted.port)),
        *("--workers", str(wanted.workers)),
        *("--allowed-hosts", ",".join(wanted.allowed_hosts)),
        *(
            ["--cors-allowed-origins", ",".join(wanted.allowed_origins)]
            * bool(wanted.allowed_origins)
        ),
    ]


def variables(wanted: Server, rights: Path) -> dict[str, str]:
    """What MLflow reads from the environment beside its options."""
    known = {
        "MLFLOW_AUTH_CONFIG_PATH": str(rights),
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(wanted.connections),
        # `log-batch` holds a connection while it waits for a second one: with no more of them than
        # calls at once, all could wait for ever
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(THREADS + 1 - wanted.connections),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if wanted.s3_endpoint:  # what speaks S3 may not know Amazon's newer checksums
        known["MLFLOW_S3_ENDPOINT_URL"] = wanted.s3_endpoint
        known["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
        known["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
    return known


def auth_ini(wanted: Server) -> str:
    """MLflow's settings of users, which have no secret."""
    return f"""\
[mlflow]
default_permission = {wanted.default_permission}
database_uri = {wanted.users.replace("%", "%%")}
admin_username = admin
auth_cache_ttl_seconds = {wanted.password_seconds}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


if __name__ == "__main__":
    cli.run("make server", main)
