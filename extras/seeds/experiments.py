"""Train seeds as DVC experiments, in copies of the project, and find their runs."""

import hashlib
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import dvc.api
from dvc.exceptions import DvcException

from sentiment.errors import UserError, first_line
from sentiment.params import Params
from workflow import files, provenance, runs
from workflow.dvc_process import run_dvc
from workflow.publish import EVALUATION

if TYPE_CHECKING:
    from mlflow.entities import Run


def project_digest() -> str:
    """Return a digest of the last commit and of what has changed since then.

    Experiments of the same digest and seed are the same: DVC copies only what git tracks.

    Raises:
        UserError: there is no commit.
    """
    commit = provenance.git("rev-parse", "HEAD")
    if not commit:
        raise UserError("DVC starts experiments from a git commit, and there is none. Make one.")
    changes = provenance.git("diff", "--no-color", "--no-ext-diff", "--binary", "HEAD")
    return hashlib.sha256(f"{commit}\n{changes}".encode()).hexdigest()[:8]


def train(name: str, seed: int) -> None:
    """Train a seed as a DVC experiment, unless DVC has this experiment already.

    If DVC's cache has the outputs, such as those of `sentiment repro`, DVC restores them.

    Raises:
        UserError: the training failed.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "list", "--name-only"],
        capture_output=True,
        text=True,
        check=False,
    )
    if name in listed.stdout.split():
        return
    if run_experiment(name, seed):
        raise UserError(
            f"The training of seed {seed} failed, see above. Fix that and run `sentiment seeds` "
            "again. Finished seeds are not trained again."
        )


def run_experiment(name: str, seed: int) -> int:
    """Run the pipeline with a seed as a DVC experiment, and return the exit status.

    It runs in a copy of the project, so that data/ and params.yaml stay as they are.

    Raises:
        KeyboardInterrupt: a signal came. DVC has ended.
    """
    options = ("--temp", "--name", name, "--set-param", f"train.seed={seed}")
    status = run_dvc("exp", "run", *options)
    if status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise KeyboardInterrupt
    return status


def find_seed_run(experiment_id: str, name: str, params: Params) -> "Run":
    """Return the complete run of a seed's DVC experiment.

    The run may be that of an earlier training whose outputs DVC restored. So it is found by what
    the experiment's outputs say, and not by the experiment's name.

    Args:
        experiment_id: MLflow's experiment of the trainings.
        name: name of the DVC experiment.
        params: the params in params.yaml.

    Raises:
        UserError: the store does not have the run, or DVC's cache lacks the outputs.
    """
    import mlflow

    try:
        document = json.loads(dvc.api.read(str(files.TRAIN / files.INPUTS), rev=name))
    except (DvcException, OSError) as error:
        raise UserError(
            f"DVC's cache lacks outputs of {name} ({first_line(error)}). Run: dvc exp remove "
            f"{name}\nThen run `sentiment seeds` again."
        ) from None
    is_complete = (
        f"tags.`{EVALUATION}` != '' "
        f"AND tags.`{runs.TRAINING_KEY}` = '{document['inputs']['key']}' "
        f"AND params.`evaluate.threshold` = '{params.evaluate.threshold}'"
    )
    found = mlflow.MlflowClient().search_runs([experiment_id], is_complete, max_results=1)
    if not found:
        raise UserError(
            f"MLflow has no complete run of {name}. Its store may have been away.\n"
            f"Run: dvc exp apply {name} && sentiment sync\n"
            f"Then set train.seed back to {params.train.seed} and run `sentiment seeds` again."
        )
    return found[0]
