"""`make seeds N=5`: the current params trained under N seeds, as one group.

Each seed is a DVC experiment of its own, so that nothing is trained twice and one that was cut
short is gone on with. The parent run in MLflow holds mean and spread; `make compare` takes its id.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sentiment import files, pipeline
from sentiment.errors import UserError
from sentiment.params import PARAMS_FILE, SEED_LIMIT, Params, flatten, load_params
from sentiment.pipeline import EVALUATE, STAGES, TRAIN
from sentiment.process import run_command
from sentiment.runs import log, store
from sentiment.runs.names import group_name
from tools.comparing import group, revision
from tools.comparing.group import SEED, Group, Member
from tools.running import dvc

TRAINING = ("fetch", "pad", "train")  # stages that shape a training
NEEDED = [
    f"{TRAIN}/about.json",
    f"{TRAIN}/run.json",
    f"{EVALUATE}/about.json",
    f"{EVALUATE}/metrics.json",
]


def count_of(arguments: Sequence[str]) -> int:
    """How many seeds are asked for; raises UserError unless it is a number of at least 2."""
    text = arguments[0] if arguments else ""
    if not (text.isascii() and text.isdecimal() and int(text) >= 2):
        raise UserError(f"N is {text!r}: a whole number of at least 2 is wanted, as in N=5.")
    return int(text)


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
        if name in known and is_whole(name, folder):
            continue
        if name in known:
            dvc_output("exp", "remove", name)
        print(f"Seed {seed}, {number} of {len(experiments)}", flush=True)
        asked = ["exp", "run", "--temp", "--name", name, "--set-param", f"{SEED}={seed}"]
        if dvc.run(*asked):
            raise UserError(
                f"The training under seed {seed} failed, see above. `make seeds` goes on from "
                "here once that is mended."
            )
        revision.copy(name, NEEDED, folder)


def listed() -> set[str]:
    """The names of all experiments, whatever commit they are of."""
    return set(dvc_output("exp", "list", "--all-commits", "--name-only").split())


def dvc_output(*arguments: str) -> str:
    """What a DVC command prints; raises UserError if it fails."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"dvc {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def is_whole(experiment: str, folder: Path) -> bool:
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
        raise UserError(f"The run of {experiment} is not whole in the store, see above.")
    shaping = files.read_about(data / "train")["params"]
    evaluated = data / EVALUATE.name
    digests = files.read_about(evaluated)["files"]
    metrics = files.read_json(files.checked(evaluated / "metrics.json", digests))
    return Member(seed, experiment, run_id, shaping, metrics)


def recorded(data: Path) -> str | None:
    """Id of the run that holds all of a training and its evaluation, if the store has it."""
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
    """Make the store tell an experiment that DVC has: `make sync` in a copy of its files."""
    root = files.root()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [f"{files.DATA}/{stage}" for stage in STAGES]
        revision.copy(experiment, [*folders, str(PARAMS_FILE)], Path(scratch))
        environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tools.sync"]
        subprocess.run(command, cwd=scratch, env=environment, check=False)


def main() -> None:
    count, params = count_of(sys.argv[1:]), load_params()
    seeds = seeds_of(count, params.train.seed)
    require_commit()
    store.connect()
    experiments = experiment_names(params, seeds)
    with tempfile.TemporaryDirectory() as scratch:
        train_missing(experiments, Path(scratch))
        copies = {seed: Path(scratch) / name for seed, name in experiments.items()}
        members = [read_member(seed, experiments[seed], copies[seed]) for seed in seeds]
    shaping = members[0].shaping
    name = group_name(params.train, shaping, count)
    told = Group(name, group.key(shaping, pipeline.code_digests(TRAINING)), members)
    print(f"\n{group.table(name, group.tell(told), members)}")


if __name__ == "__main__":
    run_command("make seeds", main)
