"""`make seeds N=5`: train the current params under N seeds, as one group.

Each seed is a DVC experiment of its own, so that nothing is trained twice and an interrupted
training is resumed. The parent run in MLflow has mean and spread; `make compare` takes its id.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from sentiment import files, pipeline
from sentiment.errors import UserError
from sentiment.params import PARAMS_FILE, SEED_LIMIT, Params, flatten, load_params
from sentiment.pipeline import EVALUATE, STAGES, TRAIN
from sentiment.runs import log, store
from sentiment.runs.names import group_name
from tools.comparing import group, revision
from tools.comparing.group import SEED, Group, Member
from tools.running import cli, dvc

TRAINING = ("fetch", "pad", "train")  # stages that shape a training
NEEDED = [
    f"{TRAIN}/about.json",
    f"{TRAIN}/run.json",
    f"{EVALUATE}/about.json",
    f"{EVALUATE}/metrics.json",
]


def seeds_of(count: int, first: int) -> list[int]:
    """The seeds, from the one in `params.yaml` on."""
    if first + count > SEED_LIMIT:
        raise UserError(f"{SEED}: {first} and the {count - 1} after it must be below {SEED_LIMIT}.")
    return list(range(first, first + count))


def experiment_names(params: Params, seeds: Sequence[int]) -> dict[int, str]:
    """The experiment of each seed; its name changes with whatever shapes its outputs."""
    sections = [flatten(getattr(params, stage), stage) for stage in STAGES]
    shaping = {name: value for section in sections for name, value in section.items()}
    short = group.key(shaping, pipeline.code_digests(STAGES))[:8]
    return {seed: f"seeds-{short}-{seed}" for seed in seeds}


def require_commit() -> None:
    """Raise UserError where DVC could not make experiments."""
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        raise UserError("git is missing: DVC keeps each seed as an experiment in git.") from None
    if done.returncode:
        raise UserError(
            "There is no git repository with a commit here, in which DVC could keep each seed as "
            "an experiment: git init && git add --all && git commit --message start"
        )


def train_missing(experiments: Mapping[int, str], scratch: Path) -> None:
    """Train under each seed whose experiment is not there with its files; copy those to scratch.

    Raises:
        UserError: a training failed; what is done stays done.
    """
    known = listed()
    for number, (seed, name) in enumerate(experiments.items(), 1):
        folder = scratch / name
        if name in known and is_complete(name, folder):
            continue
        if name in known:
            dvc.output("exp", "remove", name)
        print(f"Seed {seed}, {number} of {len(experiments)}", flush=True)
        asked = ["exp", "run", "--temp", "--name", name, "--set-param", f"{SEED}={seed}"]
        if dvc.run(*asked):
            raise UserError(
                f"The training under seed {seed} failed, see above. `make seeds` resumes "
                "from here once that is fixed."
            )
        revision.copy(name, NEEDED, folder)


def listed() -> set[str]:
    """The names of all experiments, whatever commit they are of."""
    return set(dvc.output("exp", "list", "--all-commits", "--name-only").split())


def is_complete(experiment: str, folder: Path) -> bool:
    """Copy what is needed of an experiment; False where its files are lost."""
    try:
        revision.copy(experiment, NEEDED, folder)
    except UserError:
        return False
    return True


def read_member(seed: int, experiment: str, copied: Path) -> Member:
    """Read a training; its run is made in the store if that does not have it."""
    data = copied / files.DATA
    run_id = recorded(data)
    if run_id is None:
        restore(experiment)
        run_id = recorded(data)
    if run_id is None:
        raise UserError(f"The run of {experiment} is incomplete in the tracking store, see above.")
    shaping = files.read_about(data / "train")["params"]
    evaluated = data / EVALUATE.name
    digests = files.read_about(evaluated)["files"]
    metrics = files.read_json(files.checked(evaluated / "metrics.json", digests))
    return Member(seed, experiment, run_id, shaping, metrics)


def recorded(data: Path) -> str | None:
    """Id of the run that has all of a training and its evaluation, if the store has it."""
    import mlflow

    named = files.read_json(data / TRAIN.name / "run.json")["run_id"]
    experiment_id = store.connect()
    with store.explained():
        run = store.find_recorded(mlflow.MlflowClient(), experiment_id, named)
    if run is None:
        return None
    folders = [data / stage.name for stage in (TRAIN, EVALUATE)]
    complete = all(log.is_complete(run.data.tags, folder) for folder in folders)
    return str(run.info.run_id) if complete else None


def restore(experiment: str) -> None:
    """Log an experiment that DVC has to the store: `make sync` in a copy of its files."""
    root = files.root()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [f"{files.DATA}/{stage}" for stage in STAGES]
        revision.copy(experiment, [*folders, str(PARAMS_FILE)], Path(scratch))
        environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tools.sync"]
        subprocess.run(command, cwd=scratch, env=environment, check=False)


@cli.command(__doc__)
@cli.option(
    "--count",
    variable="N",
    type=click.IntRange(min=2),
    default=5,
    help="Train under this many seeds, from train.seed in params.yaml on.",
)
@cli.json_option
def main(count: int, as_json: bool) -> None:
    with cli.output_kept(as_json):
        found = train_group(count)
        run_id = group.log(found)
    cli.report(group.document(found, run_id), f"\n{group.table(found, run_id)}", as_json)


def train_group(count: int) -> Group:
    """Train the current params under `count` seeds, as far as they are not trained yet.

    Raises:
        UserError: there are no such seeds or no git commit, the store cannot be used, or a
            training failed.
    """
    params = load_params()
    seeds = seeds_of(count, params.train.seed)
    require_commit()
    store.connect()
    experiments = experiment_names(params, seeds)
    with tempfile.TemporaryDirectory() as scratch:
        train_missing(experiments, Path(scratch))
        copies = {seed: Path(scratch) / name for seed, name in experiments.items()}
        members = [read_member(seed, experiments[seed], copies[seed]) for seed in seeds]
    shaping = members[0].shaping
    key = group.key(shaping, pipeline.code_digests(TRAINING))
    return Group(group_name(params.train, shaping, count), key, members)


if __name__ == "__main__":
    cli.run("make seeds", main)
