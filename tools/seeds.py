"""`make seeds N=5`: the current params trained under N seeds, as one group.

Each seed is a DVC experiment of its own, so that nothing is trained twice and one that was cut
short is gone on with. The parent run in MLflow holds mean and spread; `make compare` takes its id.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from filelock import FileLock
from ruamel.yaml import YAML

from stages import checkpoint, evaluate, files, store, tracking, train
from stages.command import UserError, prepare_environment
from stages.params import PARAMS_FILE, SEED_LIMIT, Params, flatten, load_params
from tools import repro, revision
from tools.sides import GROUP, MEMBERS, PARENT

if TYPE_CHECKING:
    import mlflow

TRAINING = ("fetch", "pad", "train")  # stages that shape a training
STAGES = (*TRAINING, "evaluate")
SEED = "train.seed"
NEEDED = [
    f"{train.FOLDER}/about.json",
    f"{train.FOLDER}/run.json",
    f"{evaluate.FOLDER}/about.json",
    f"{evaluate.FOLDER}/metrics.json",
]
EXPERIMENTS = "seeds.experiments"  # tag of the parent run: DVC's names, as JSON by seed
FIGURES = ("test_loss", "test_roc_auc", "test_f1", "test_brier", "test_ece")
ACCURACY = "test_accuracy"
LOCK = f"{store.DATABASE}.seeds.lock"


class Member(NamedTuple):
    """A training of the group.

    Attributes:
        seed: which one it was trained under.
        experiment: the DVC experiment.
        run_id: of its MLflow run.
        shaping: everything that shaped it.
        metrics: the test's figures.
    """

    seed: int
    experiment: str
    run_id: str
    shaping: dict[str, Any]
    metrics: dict[str, Any]


class Group(NamedTuple):
    """Trainings that differ in nothing but their seeds.

    Attributes:
        name: what MLflow's table calls it.
        key: see `key`.
        members: by seed.
    """

    name: str
    key: str
    members: list[Member]


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


def key(shaping: Mapping[str, Any], code: Mapping[str, str]) -> str:
    """A name for trainings that differ in nothing but their seed, as DVC tells them apart.

    The machine and its packages are left out, since DVC takes outputs from its cache whatever made
    them; the tags of each run tell.

    Args:
        shaping: their params, by dotted names.
        code: digests of the code, by path.
    """
    return checkpoint.key({"params": seedless(shaping), "code": dict(code)})


def seedless(shaping: Mapping[str, Any]) -> dict[str, Any]:
    """The params but the seed."""
    return {name: value for name, value in shaping.items() if name != SEED}


def experiment_names(params: Params, seeds: Sequence[int]) -> dict[int, str]:
    """The experiment of each seed; its name changes with whatever shapes its outputs."""
    sections = [flatten(getattr(params, stage), stage) for stage in STAGES]
    shaping = {name: value for section in sections for name, value in section.items()}
    short = key(shaping, read_digests(STAGES))[:8]
    return {seed: f"seeds-{short}-{seed}" for seed in seeds}


def read_digests(stages: Sequence[str]) -> dict[str, str]:
    """Digests of the code that `dvc.yaml` lists for these stages, by path."""
    declared = YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"]
    paths = {dep for name in stages for dep in declared[name]["deps"] if Path(dep).suffix == ".py"}
    return {path: files.sha256(Path(path)) for path in sorted(paths)}


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
            dvc("exp", "remove", name)
        print(f"Seed {seed}, {number} of {len(experiments)}", flush=True)
        asked = ["exp", "run", "--temp", "--name", name, "--set-param", f"{SEED}={seed}"]
        if repro.run_dvc(*asked):
            raise UserError(
                f"The training under seed {seed} failed, see above. `make seeds` goes on from "
                "here once that is mended."
            )
        revision.copy(name, NEEDED, folder)


def listed() -> set[str]:
    """The names of all experiments, whatever commit they are of."""
    return set(dvc("exp", "list", "--all-commits", "--name-only").split())


def dvc(*arguments: str) -> str:
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
    evaluated = data / evaluate.FOLDER.name
    digests = files.read_about(evaluated)["files"]
    metrics = files.read_json(files.check(evaluated / "metrics.json", digests))
    return Member(seed, experiment, run_id, shaping, metrics)


def recorded(data: Path) -> str | None:
    """Id of the run that holds all of a training and its evaluation, if the store has it."""
    import mlflow

    named = files.read_json(data / train.FOLDER.name / "run.json")["run_id"]
    experiment_id = store.connect()
    with store.explained():
        run = store.find_recorded(mlflow.MlflowClient(), experiment_id, named)
    if run is None:
        return None
    wanted = {
        tracking.COMPLETE.format(stage): files.sha256(data / stage / files.ABOUT)
        for stage in (train.FOLDER.name, evaluate.FOLDER.name)
    }
    return str(run.info.run_id) if wanted.items() <= run.data.tags.items() else None


def restore(experiment: str) -> None:
    """Make the store tell an experiment that DVC has: `make sync` in a copy of its files."""
    root = store.root()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [f"{files.DATA}/{stage}" for stage in STAGES]
        revision.copy(experiment, [*folders, str(PARAMS_FILE)], Path(scratch))
        environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tools.sync"]
        subprocess.run(command, cwd=scratch, env=environment, check=False)


def figures(members: Sequence[Member]) -> dict[str, float]:
    """Mean and spread of the test's figures over the trainings."""
    accuracies = [each.metrics[ACCURACY] for each in members]
    ends = {f"{ACCURACY}_min": min(accuracies), f"{ACCURACY}_max": max(accuracies)}
    found: dict[str, float] = {}
    for name in (ACCURACY, *FIGURES):
        values = [each.metrics[name] for each in members]
        found[f"{name}_mean"] = float(np.mean(values))
        found[f"{name}_sd"] = float(np.std(values, ddof=1))
    return found | ends


def group_name(params: Params, shaping: dict[str, Any], count: int) -> str:
    """What MLflow's table calls the group: the name of its runs without the seed."""
    parts = train.run_name(params.train, shaping, None).split(" · ")
    kept = [part for part in parts if part != f"seed {params.train.seed}"]
    return " · ".join([f"{count} seeds", *kept])


def tell(group: Group) -> str:
    """Make the parent run say what the group is, and return its id; again changes nothing."""
    import mlflow

    experiment_id, client = store.connect(), mlflow.MlflowClient()
    with store.explained(), FileLock(store.root() / LOCK):
        parent = find_or_make(client, experiment_id, group)
        adopt(client, parent, {each.run_id for each in group.members})
        describe(client, parent, group)
        if parent.info.status != "FINISHED":
            client.set_terminated(parent.info.run_id)
    return str(parent.info.run_id)


def find_or_make(
    client: "mlflow.MlflowClient", experiment_id: str, group: Group
) -> "mlflow.entities.Run":
    """The parent run of this key."""
    found = client.search_runs([experiment_id], f"tags.`{GROUP}` = '{group.key}'", max_results=1)
    return found[0] if found else client.create_run(experiment_id, tags={GROUP: group.key})


def adopt(client: "mlflow.MlflowClient", parent: "mlflow.entities.Run", runs: set[str]) -> None:
    """Let just these runs be the parent's children."""
    parent_id = parent.info.run_id
    query = f"tags.`{PARENT}` = '{parent_id}'"
    there = client.search_runs([parent.info.experiment_id], query)
    before = {run.info.run_id for run in there}
    for run_id in before - runs:
        client.delete_tag(run_id, PARENT)
    for run_id in runs - before:
        client.set_tag(run_id, PARENT, parent_id)


def describe(client: "mlflow.MlflowClient", parent: "mlflow.entities.Run", group: Group) -> None:
    """Give the parent run the group's name, params, figures and members."""
    from mlflow.entities import Metric, Param, RunTag

    now, known = time.time_ns() // 10**6, parent.data.metrics
    new = {name: x for name, x in figures(group.members).items() if known.get(name) != x}
    tags = {
        "mlflow.runName": group.name,
        MEMBERS: json.dumps({each.seed: each.run_id for each in group.members}),
        EXPERIMENTS: json.dumps({each.seed: each.experiment for each in group.members}),
    }
    client.log_batch(
        parent.info.run_id,
        metrics=[Metric(name, value, now, 0) for name, value in new.items()],
        params=[Param(*pair) for pair in as_text(seedless(group.members[0].shaping)).items()],
        tags=[RunTag(*pair) for pair in tags.items()],
    )


def as_text(params: Mapping[str, Any]) -> dict[str, str]:
    """Params as MLflow keeps them."""
    return {name: str(value) for name, value in params.items()}


def table(name: str, run_id: str, members: Sequence[Member]) -> str:
    """What is printed of a group."""
    known = figures(members)
    low, high = known[f"{ACCURACY}_min"], known[f"{ACCURACY}_max"]
    rows = [
        f"{each.seed:>10}  {each.metrics[ACCURACY]:>8.4f}  {each.run_id}  {each.experiment}"
        for each in members
    ]
    return "\n".join(
        [
            f"{name}: run {run_id}",
            f"{'seed':>10}  {'accuracy':>8}  {'run':32}  experiment",
            *rows,
            f"{'mean':>10}  {known[f'{ACCURACY}_mean']:.4f} ± {known[f'{ACCURACY}_sd']:.4f} "
            f"(standard deviation), range {low:.4f} to {high:.4f}",
            f"Seeds alone make differences of up to {100 * (high - low):.2f} points here: "
            "a smaller one between two single trainings says little about their params.",
            f"Compare the group with a run or another group: make compare B={run_id}",
        ]
    )


def main() -> None:
    count, params = count_of(sys.argv[1:]), load_params()
    seeds = seeds_of(count, params.train.seed)
    prepare_environment()
    require_commit()
    store.connect()
    experiments = experiment_names(params, seeds)
    with tempfile.TemporaryDirectory() as scratch:
        train_missing(experiments, Path(scratch))
        copies = {seed: Path(scratch) / name for seed, name in experiments.items()}
        members = [read_member(seed, experiments[seed], copies[seed]) for seed in seeds]
    shaping = members[0].shaping
    name = group_name(params, shaping, count)
    group = Group(name, key(shaping, read_digests(TRAINING)), members)
    print(f"\n{table(name, tell(group), members)}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"make seeds: {error}")
