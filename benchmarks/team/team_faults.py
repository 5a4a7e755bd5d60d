"""Ways to break what a team's server stands on while a training logs to it.

What "nothing lost" means is in `benchmarks.training_faults`; what was not logged meanwhile,
`make sync` logs.
"""

from collections.abc import Callable
from pathlib import Path

from benchmarks.breaking import Fault, Group, Try, started
from benchmarks.training_faults import REPRO, SYNC, losses, trainer
from tests.extras.team.servers import MARK, Team, password, team
from tests.project import EPOCHS, Project

AWAY_SECONDS = 60.0  # for so long the object store is away
USER, NEXT = "alice", f"{MARK}-of-alice-2"


def log_to(project: Project, server: Team, secret: str) -> None:
    """Let a project log to the server; its address has the password, also for who looks later."""
    host = server.address.removeprefix("http://")
    project.environment["MLFLOW_TRACKING_URI"] = f"http://{USER}:{secret}@{host}"


def broken(harm: Callable[[Team], object], secret: str = password(USER)) -> Callable[[Try], None]:
    """Harm a server from the third epoch on.

    Args:
        harm: what is done to it; it works again when this returns.
        secret: the user's password afterwards.
    """

    def happen(attempt: Try) -> None:
        folder = Path(attempt.project.path.with_name("server"))
        folder.mkdir()
        server = attempt.servers.enter_context(team(folder))
        log_to(attempt.project, server, password(USER))
        process = started(attempt.project, *REPRO)
        trainer(attempt.project)
        harm(server)
        process.wait(timeout=300)
        log_to(attempt.project, server, secret)
        attempt.project.run(*SYNC)

    return happen


def restart(server: Team) -> None:
    """End the server and start it again."""
    server.stop()
    server.start()


def change_password(server: Team) -> None:
    """Give the user another password."""
    server.ask("PATCH", "2.0/mlflow/users/update-password", username=USER, password=NEXT)


GROUP = Group(
    changes={"train": {"epochs": EPOCHS}},
    command=REPRO,
    losses=losses,
    faults=[
        Fault("a team's server: ended and started again", 3, broken(restart)),
        Fault(
            "a team's server: its database restarted",
            3,
            broken(lambda server: server.parts.database.restart(2)),
        ),
        Fault(
            "a team's server: its object store away for a minute",
            3,
            broken(lambda server: server.parts.store.pause(AWAY_SECONDS)),
        ),
        Fault("a team's server: the user's password changed", 3, broken(change_password, NEXT)),
    ],
)
