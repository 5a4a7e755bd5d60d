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
from workflow.runs import identity, logger, store

NEEDED = [
    *(f"{TRAIN}/{name}" for name in ("about.json", "run.json", "gradients.csv")),
    *(f"{EVALUATE}/{name}" for name in ("about.json", "metrics.json", "gradients.csv")),
]


class Experiment(NamedTuple):
    name: str  # what DVC calls it
    label: str  # what messages call it
    changes: Mapping[str, Any]  # of values in `params.yaml`, by dotted names


def short_key(params: Params) -> str:
    """Eight letters that change with whatever shapes a training and its evaluation but the seed."""
    settings_used = {name: content_of(name) for name in dvc.table_files(params.fetch)}
    for stage in STAGES:
        settings_used |= flatten(getattr(params, stage), stage)
    return seed_group.key(settings_used, identity.code_digests(STAGES))[:8]


def content_of(address: str) -> str | None:
    """SHA-256 of a file with texts, of one at an address as it was fetched last.

    Raises:
        UserError: it is at an address, and `fetch` has not run yet.
    """
    if "://" not in address:
        return files.sha256(Path(address)) if Path(address).is_file() else None
    fetched = files.read_about(FETCH)["params"]
    return str([fetched.get(f"fetch.table.{part}_sha256") for part in ("train", "test")])


def under_seeds(params: Params, count: int) -> list[Experiment]:
    """The experiments of the params under `count` seeds, from theirs on."""
    first, key = params.train.seed, short_key(params)
    if first + count > SEED_LIMIT:
        raise UserError(f"{SEED}: {first} and the {count - 1} after it must be below {SEED_LIMIT}.")
    return [
        Experiment(f"seeds-{key}-{seed}", f"seed {seed}", {SEED: seed})
        for seed in range(first, first + count)
    ]


def require_copies(params: Fetch) -> None:
    """Raise UserError where DVC cannot train in copies of the project that have the texts."""
    if not identity.git("rev-parse", "HEAD"):
        raise UserError(
            "There is no git repository with a commit here, in which DVC could keep each training "
            "as an experiment: git init && git add --all && git commit --message start"
        )
    for name in dvc.relative_files(params):
        if not Path(f"{name}.dvc").exists() and not identity.git("ls-files", "--", name):
            raise UserError(
                f"{name} is known neither to git nor to DVC, and each training runs in a copy of "
                f"the project, which has only what these know: dvc add '{name}'"
            )


def trained(wanted: Sequence[Experiment], scratch: Path, command: str) -> Iterator[Member]:
    """Yield each training, which is done first where DVC does not have it with its files.

    An experiment whose files are lost is called `<name>-lost` until its successor is trained.
    `scratch` gets, in a folder named after each experiment, the files that are `NEEDED`. The
    message of a failure says to run `command` again.

    Raises:
        UserError: a training failed, or DVC's remote cannot be reached; what is done stays done.
    """
    listed = dvc.output("exp", "list", "--all-commits", "--name-only").split()
    for number, (name, label, changes) in enumerate(wanted, 1):
        lost = f"{name}-lost"
        if name not in listed or not copy_files(name, NEEDED, scratch / name):
            if name in listed:
                dvc.output("exp", "rename", "--force", name, lost)
                listed.append(lost)
            print(f"Training {number} of {len(wanted)}: {label}", flush=True)
            options = [f"--set-param={param}={value}" for param, value in changes.items()]
            # in a folder of its own, so that `data/` and `params.yaml` stay as they are
            if dvc.run("exp", "run", "--temp", "--name", name, *options):
                raise UserError(
                    f"The training of {label} failed, see above. `{command}` resumes from here "
                    "once that is fixed."
                )
            require_files(name, NEEDED, scratch / name)
        if lost in listed:
            dvc.output("exp", "remove", lost)
        yield read_member(name, scratch / name / files.DATA)


def copy_files(experiment: str, names: Iterable[str], target: Path) -> bool:
    """Copy an experiment's files or folders, from git or from DVC's cache or remote.

    `names` are paths in the project, such as `data/train/run.json`; `target` is in place of its
    root.

    Returns:
        Whether all are there; else a file is lost: neither cache nor remote has it.

    Raises:
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
        absent = "nothing is there; it is offline or not mounted, or nobody has pushed yet"
        if remote and (problem := dvc.why_not(remote, absent)):
            raise UserError(
                f"DVC's cache lacks {name} of {experiment}, and the DVC remote {remote} "
                f"cannot be reached: {problem}. Make it reachable or, if it is gone for good, "
                f"remove it: dvc remote remove {remote}"
            ) from None
        if not isinstance(error, FileNotFoundError | DataIndexError):
            raise
        return False
    return True


def require_files(experiment: str, names: Iterable[str], target: Path) -> None:
    """`copy_files`, with a UserError also where a file is lost."""
    if not copy_files(experiment, names, target):
        raise UserError(
            f"Neither DVC's cache nor a remote has all files of {experiment}. Get them with `dvc "
            f"exp pull`, or remove it, to train it again: dvc exp remove {experiment}"
        )


def read_member(name: str, data: Path) -> Member:
    """Read an experiment's copy of `data/`; its run is made where the store does not have it."""
    if recorded(data) is None:
        restore(name)
    run_id = recorded(data)
    if run_id is None:
        raise UserError(f"The run of {name} is incomplete in the tracking store, see above.")
    settings_used = files.read_about(data / TRAIN.name)["params"]
    metrics = files.read_json(files.checked(data / EVALUATE.name / "metrics.json"))
    return Member(settings_used[SEED], name, run_id, settings_used, metrics)


def recorded(data: Path) -> str | None:
    """Id of the run that has all of a training and its evaluation, if the store has it."""
    import mlflow

    named = files.read_json(data / TRAIN.name / "run.json")["run_id"]
    experiment_id = store.connect()
    with store.as_user_error():
        run = store.find_run(mlflow.MlflowClient(), experiment_id, named)
    folders = [data / stage.name for stage in (TRAIN, EVALUATE)]
    if run and all(logger.has_all(run.data.tags, folder) for folder in folders):
        return str(run.info.run_id)
    return None


def restore(name: str) -> None:
    """Log an experiment that DVC has to the store: `make sync` in a copy of its files."""
    root = files.root()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [f"{files.DATA}/{stage}" for stage in STAGES]
        require_files(name, [*folders, str(PARAMS_FILE)], Path(scratch))
        environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tools.sync"]
        subprocess.run(command, cwd=scratch, env=environment, check=False)
