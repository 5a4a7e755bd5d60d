"""What the workers of a sweep must have, wherever they are."""

import re

from extras.common import cluster
from extras.common.cluster import Environment
from extras.sweep import study
from sentiment.errors import UserError
from workflow import files, store
from workflow.files import FETCH

ADVICE = (
    "Bring its clone to the sweep's commit, run `make .venv/sweep` and `dvc pull fetch` or `dvc "
    f"repro fetch` there, and start it again with the sweep's {study.STORAGE} in its environment."
)


def require_shared() -> None:
    """Raise UserError where workers elsewhere could not reach the stores."""
    local = study.address().startswith(store.SQLITE)
    if local or not store.is_server(store.tracking_uri()):
        raise UserError(
            "Workers on other machines reach neither mlflow.db nor sweeps.db in this folder. Name "
            f"a server in MLFLOW_TRACKING_URI and a database such as PostgreSQL in {study.STORAGE}."
        )


def reviews() -> Environment:
    """Which training part `data/fetch` has."""
    try:
        return ((str(FETCH), files.short_digest(FETCH, files.array_names("train"))),)
    except UserError:
        return ((str(FETCH), "missing"),)


def environment() -> Environment:
    """What must be the same wherever trials of a sweep are trained, fit to be shown."""
    # without user, password and options, which may be secret, or another machine's own
    database = re.sub("(?<=://)[^/]*@", "", study.address()).partition("?")[0]
    return (*cluster.versions("optuna"), *reviews(), ("database", database))
