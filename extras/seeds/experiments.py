"""Trainings as DVC experiments: none is trained twice, and an interrupted one is resumed."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
from dvc.api import DVCFileSystem
from workflow.runs.identity import SEPARATOR, fingerprint, run_name

from extras.seeds.seed_group import SEED, Group, Member
from sentiment.data.params import FetchParams
from sentiment.errors import UserError, first_line
from sentiment.section import flatten
from workflow import children, dvc, files
from workflow.files import EVALUATE, FETCH, STAGES, TRAIN
from workflow.params import PARAMS_FILE, Params, load_params
from workflow.runs import identity, logger, store

NEEDED = [
    *(f"{TRAIN}/{name}" for name in ("about.json", "run.json", "gradients.csv")),
    *(f"{EVALUATE}/{name}" for name in ("about.json", "metrics.json", "gradients.csv")),
]


class Experiment(NamedTuple):
    name: str  # what DVC calls it
    label: str  # what messages call it
    changes: Mapping[str, Any]  # of values in `params.yaml`, by dotted names


def train_group(count: int) -> Group:
    """Train the current params under `count` seeds, as far as they are not trained yet.

    Raises:
        UserError: there is no git commit, the store cannot be used, or a training failed.
    """
    params = load_params()
    wanted = under_seeds(params, count)
    require_copies(params.fetch)
    store.connect()
    with tempfile.TemporaryDirectory() as scratch:
        members = list(trained(wanted, Path(scratch), "make seeds"))
    name = run_name(params.train, members[0].settings_used, None)
    seedless = name.replace(f"{SEPARATOR}seed {params.train.seed}", "")
    return Group(f"{count} seeds{SEPARATOR}{seedless}", short_key(params), members)


def short_key(params: Params) -> str:
    """Eight letters that change with whatever shapes a training and its evaluation but the seed.

    Machine and packages are left out: DVC takes outputs from its cache whatever made them.
    """
    settings_used = {name: content_of(name) for name in dvc.table_files(params.fetch)}
    for stage in STAGES:
        settings_used |= flatten(getattr(params, stage), stage)
    del settings_used[SEED]
    return fingerprint({"params": settings_used, "code": identity.code_digests(STAGES)})[:8]


def content_of(address: str) -> str | None:
    """SHA-256 of a file with texts, of one at an address as it was fetched last.

    Raises:
        UserError: it is at an address, and `fetch` has not run yet.
    """
    if "://" not in address:
        return files.sha256(Path(address)) if Path(address).is_file() else None
    fetched = files.read_about(FETCH)["params"]
    parts = ("table.train", "table.test", "add")
    return str([fetched.get(f"fetch.{part}_sha256") for part in parts])


def under_seeds(params: Params, count: int) -> list[Experiment]:
    """The experiments of the params under `count` seeds, from theirs on."""
    first, key = params.train.seed, short_key(params)
    return [
        Experiment(f"seeds-{key}-{seed}", f"seed {seed}", {SEED: seed})
        for seed in range(first, first + count)
    ]


def require_copies(params: FetchParams) -> None:
    """Raise UserError where the copies of the project that DVC trains in would lack texts."""
    for name in dvc.relative_files(params):
        places = (Path(name), *Path(name).parents)  # DVC may know the folder that a file is in
        by_dvc = any(Path(f"{place}.dvc").exists() for place in places)
        if not by_dvc and not identity.git("ls-files", "--", name):
            raise UserError(
                f"{name} is known neither to git nor to DVC, and each training runs in a copy of "
                f"the project, which has only what these know: dvc add '{name}'"
            )


def trained(wanted: Sequence[Experiment], scratch: Path, command: str) -> Iterator[Member]:
    """Yield each training, which is done first where DVC does not have it.

    `scratch` gets, in a folder named after each experiment, the files that are `NEEDED`. The
    message of a failure says to run `command` again.

    Raises:
        UserError: a training failed, or an experiment's files cannot be read; what is done stays.
    """
    listed = children.output(*dvc.DVC, "exp", "list", "--all-commits", "--name-only").split()
    for number, (name, label, changes) in enumerate(wanted, 1):
        if name not in listed:
            print(f"Training {number} of {len(wanted)}: {label}", flush=True)
            options = [f"--set-param={param}={value}" for param, value in changes.items()]
            # in a folder of its own, so that `data/` and `params.yaml` stay as they are
            if dvc.run("exp", "run", "--temp", "--name", name, *options):
                raise UserError(
                    f"The training of {label} failed, see above. `{command}` resumes from here "
                    "once that is fixed."
                )
        copy_files(name, NEEDED, scratch / name)
        yield read_member(name, scratch / name / files.DATA)


def copy_files(experiment: str, names: Iterable[str], target: Path) -> None:
    """Copy an experiment's files or folders, from git or from DVC's cache or remote.

    `names` are paths in the project, such as `data/train/run.json`; `target` is in place of its
    root. Raises UserError where one cannot be read.
    """
    try:
        system = DVCFileSystem(".", rev=experiment)
        for name in names:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            system.get(name, str(place), recursive=True)
    except Exception as error:  # each kind of remote has errors of its own
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES):
            raise  # of the target
        raise UserError(
            f"DVC's cache lacks files of {experiment}, and no remote gave them: "
            f"{first_line(error)}. If they are lost, remove it, to train it again: dvc exp remove "
            f"{experiment}"
        ) from None


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
        copy_files(name, [*folders, str(PARAMS_FILE)], Path(scratch))
        environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tools.sync"]
        subprocess.run(command, cwd=scratch, env=environment, check=False)
