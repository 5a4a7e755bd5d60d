"""Trainings as DVC experiments: none is trained twice, and an interrupted one is resumed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from extras.seeds import seed_group
from extras.seeds.seed_group import SEED, Member
from sentiment.data.dataset import Fetch
from sentiment.errors import UserError
from sentiment.section import SEED_LIMIT, flatten
from workflow import dvc, files
from workflow.files import EVALUATE, FETCH, STAGES, TRAIN
from workflow.params import PARAMS_FILE, Params
from workflow.params_file import changed
from workflow.runs import identity, logger, store

NEEDED = [
    *(f"{TRAIN}/{name}" for name in ("about.json", "run.json", "gradients.csv")),
    *(f"{EVALUATE}/{name}" for name in ("about.json", "metrics.json", "gradients.csv")),
]


class LostError(UserError):
    """Neither DVC's cache nor its remote has a file."""


class Experiment(NamedTuple):
    """A training that is wanted.

    Attributes:
        name: what DVC calls it.
        label: what messages call it.
        changes: the values by which its params differ from `params.yaml`, by dotted names.
    """

    name: str
    label: str
    changes: Mapping[str, Any]


def short_key(params: Params) -> str:
    """Eight letters that change with whatever shapes a training and its evaluation but the seed."""
    sections = [flatten(getattr(params, stage), stage) for stage in STAGES]
    settings_used = {name: value for section in sections for name, value in section.items()}
    settings_used |= {name: content_of(name) for name in dvc.table_files(params.fetch)}
    return seed_group.key(settings_used, identity.code_digests(STAGES))[:8]


def content_of(address: str) -> str | None:
    """SHA-256 of a file with texts, of one at an address as it was fetched last.

    Raises:
        UserError: it is at an address, and `fetch` has not run yet.
    """
    if "://" not in address:
        return files.sha256(Path(address)) if Path(address).is_file() else None
    known = files.read_about(FETCH)["params"]
    return str([known.get(f"fetch.table.{part}_sha256") for part in ("train", "test")])


def under_seeds(
    params: Params, count: int, changes: Mapping[str, Any] | None = None, label: str = ""
) -> list[Experiment]:
    """The experiments of the params, with changes, under `count` seeds from theirs on.

    Raises:
        UserError: a change is not allowed, or a seed is too great.
    """
    own = dict(changes or {})
    prefix = f"seeds-{short_key(changed(params, own))}"
    named = f"{label}, " if label else ""
    return [
        Experiment(f"{prefix}-{seed}", f"{named}seed {seed}", {**own, SEED: seed})
        for seed in seeds_of(count, params.train.seed)
    ]


def seeds_of(count: int, first: int) -> list[int]:
    """`count` seeds, from the first one on."""
    if first + count > SEED_LIMIT:
        raise UserError(f"{SEED}: {first} and the {count - 1} after it must be below {SEED_LIMIT}.")
    return list(range(first, first + count))


def require_commit() -> None:
    """Raise UserError where DVC could not make experiments."""
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        raise UserError("git is missing: DVC keeps each training as an experiment in it.") from None
    if done.returncode:
        raise UserError(
            "There is no git repository with a commit here, in which DVC could keep each training "
            "as an experiment: git init && git add --all && git commit --message start"
        )


def require_same_data(members: Sequence[Member]) -> None:
    """Raise UserError where trainings have other data: a file at an address changed meanwhile."""
    data = [
        {name: value for name, value in member.settings_used.items() if name.startswith("fetch.")}
        for member in members
    ]
    if any(other != data[0] for other in data):
        raise UserError(
            "The texts changed between two trainings, so that they are no group: run `dvc repro "
            "fetch`, and then the command again."
        )


def require_known(params: Fetch) -> None:
    """Raise UserError where texts are not in the copies of the project that experiments run in."""
    for name in dvc.relative_files(params):
        if not Path(f"{name}.dvc").exists() and not _is_in_git(name):
            raise UserError(
                f"{name} is known neither to git nor to DVC, and each training runs in a copy of "
                f"the project, which has only what these know: dvc add '{name}'"
            )


def _is_in_git(name: str) -> bool:
    command = ["git", "ls-files", "--error-unmatch", "--", name]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def trained(wanted: Sequence[Experiment], scratch: Path, command: str) -> Iterator[Member]:
    """Yield each training, which is done first where DVC does not have it with its files.

    An experiment whose files are lost is called `<name>-lost` until its successor is trained.

    Args:
        wanted: the trainings.
        scratch: folder in which each has what is `NEEDED` of it, in a folder of its name.
        command: what resumes, for the message of a failure.

    Raises:
        UserError: a training failed, or DVC's remote cannot be reached; what is done stays done.
    """
    known = listed()
    for number, experiment in enumerate(wanted, 1):
        copied = scratch / experiment.name
        lost = f"{experiment.name}-lost"
        if experiment.name in known and not is_complete(experiment.name, copied):
            dvc.output("exp", "rename", "--force", experiment.name, lost)
            known = known - {experiment.name} | {lost}
        if experiment.name not in known:
            print(f"Training {number} of {len(wanted)}: {experiment.label}", flush=True)
            train(experiment, command)
            copy_files(experiment.name, NEEDED, copied)
        if lost in known:
            dvc.output("exp", "remove", lost)
        yield read_member(experiment.name, copied / files.DATA)


def train(experiment: Experiment, command: str) -> None:
    """Train one, in a folder of its own, so that `data/` and `params.yaml` stay as they are."""
    changes = [f"--set-param={name}={value}" for name, value in experiment.changes.items()]
    if dvc.run("exp", "run", "--temp", "--name", experiment.name, *changes):
        raise UserError(
            f"The training of {experiment.label} failed, see above. `{command}` resumes from here "
            "once that is fixed."
        )


def listed() -> set[str]:
    """The names of all experiments, whatever commit they are of."""
    return set(dvc.output("exp", "list", "--all-commits", "--name-only").split())


def is_complete(name: str, folder: Path) -> bool:
    """Copy what is needed of an experiment; False where its files are lost."""
    try:
        copy_files(name, NEEDED, folder)
    except LostError:
        return False
    return True


def copy_files(experiment: str, names: Iterable[str], target: Path) -> None:
    """Copy files or folders, from git or from DVC's cache or remote.

    Args:
        experiment: its name.
        names: paths within the project, such as `data/train/run.json`.
        target: the folder that stands for the project's root.

    Raises:
        LostError: neither cache nor remote has a file of it.
        UserError: there is no such experiment, or a file may be in the remote, which cannot be
            reached.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexError

    remote = dvc.remote()
    try:
        system = DVCFileSystem(".", rev=experiment, remote=remote)
        for name in names:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            system.get(name, str(place), recursive=True)
    except DvcException as error:
        raise UserError(f"The DVC experiment {experiment} cannot be read: {error}.") from None
    except Exception as error:  # each kind of remote has errors of its own
        problem = remote and dvc.why_not(
            remote,
            absent="nothing is there; it is offline or not mounted, or nobody has pushed yet",
        )
        if problem:
            raise UserError(
                f"DVC's cache lacks {name} of {experiment}, and the DVC remote {remote} "
                f"cannot be reached: {problem}. Make it reachable or, if it is gone for good, "
                f"remove it: dvc remote remove {remote}"
            ) from None
        if not isinstance(error, FileNotFoundError | DataIndexError):
            raise
        raise LostError(
            f"Neither DVC's cache nor a remote has {name} of {experiment}. Get it with "
            f"`dvc exp pull`, or remove it, to train it again: dvc exp remove {experiment}"
        ) from None


def read_member(name: str, data: Path) -> Member:
    """Read a training; its run is made in the store if that does not have it.

    Args:
        name: of the experiment.
        data: the copy of its `data/`.
    """
    run_id = recorded(data)
    if run_id is None:
        restore(name)
        run_id = recorded(data)
    if run_id is None:
        raise UserError(f"The run of {name} is incomplete in the tracking store, see above.")
    settings_used = files.read_about(data / TRAIN.name)["params"]
    evaluated = data / EVALUATE.name
    digests = files.read_about(evaluated)["files"]
    metrics = files.read_json(files.checked(evaluated / "metrics.json", digests))
    return Member(settings_used[SEED], name, run_id, settings_used, metrics)


def recorded(data: Path) -> str | None:
    """Id of the run that has all of a training and its evaluation, if the store has it."""
    import mlflow

    named = files.read_json(data / TRAIN.name / "run.json")["run_id"]
    experiment_id = store.connect()
    with store.as_user_error():
        run = store.find_run(mlflow.MlflowClient(), experiment_id, named)
    if run is None:
        return None
    folders = [data / stage.name for stage in (TRAIN, EVALUATE)]
    complete = all(logger.has_all(run.data.tags, folder) for folder in folders)
    return str(run.info.run_id) if complete else None


def restore(name: str) -> None:
    """Log an experiment that DVC has to the store: `make sync` in a copy of its files."""
    root = files.root()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [f"{files.DATA}/{stage}" for stage in STAGES]
        copy_files(name, [*folders, str(PARAMS_FILE)], Path(scratch))
        environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tools.sync"]
        subprocess.run(command, cwd=scratch, env=environment, check=False)
