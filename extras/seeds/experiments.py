"""Trainings as DVC experiments: none is trained twice, and an interrupted one is resumed."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dvc.api import DVCFileSystem

from extras.seeds.seed_group import SEED, Group, Member
from sentiment.data.params import FetchParams, describe_dataset
from sentiment.errors import UserError, first_line
from sentiment.section import flatten
from workflow import dvc_commands, files, outputs, processes, provenance, store, tracking
from workflow.about import AboutFetch, AboutTrain, read_about
from workflow.files import EVALUATE, FETCH, STAGES, TRAIN
from workflow.params import PARAMS_FILE, Params, load_params
from workflow.tracking import Run

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
    name = provenance.run_name(params.train, params.pad, describe_dataset(params.fetch))
    separator = provenance.SEPARATOR
    seedless = name.replace(f"{separator}seed {params.train.seed}", "")
    return Group(f"{count} seeds{separator}{seedless}", short_key(params), members)


def short_key(params: Params) -> str:
    """Return eight characters that change with the params, texts and code, but not with the seed.

    Machine and packages are left out: DVC takes outputs from its cache whatever made them.
    """
    flat_params: dict[str, Any] = {}
    for stage in STAGES:
        flat_params |= flatten(getattr(params, stage), stage)
    del flat_params[SEED]
    document = {
        "params": flat_params,
        "texts": {name: content_of(name) for name in dvc_commands.table_files(params.fetch)},
        "code": provenance.code_digests(STAGES),
    }
    return provenance.short_digest_of(document)[:8]


def content_of(address: str) -> str | None:
    """SHA-256 of a file with texts, of one at an address as it was fetched last.

    Raises:
        UserError: it is at an address, and `fetch` has not run yet.
    """
    if "://" not in address:
        return files.sha256(Path(address)) if Path(address).is_file() else None
    fetched = read_about(FETCH, AboutFetch).flat_params()
    parts = ("table.train", "table.test", "added_texts")
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
    for name in dvc_commands.project_table_files(params):
        places = (Path(name), *Path(name).parents)  # DVC may know the folder that a file is in
        by_dvc = any(Path(f"{place}.dvc").exists() for place in places)
        if not by_dvc and not provenance.git("ls-files", "--", name):
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
    listed = processes.command_output(
        *dvc_commands.DVC, "exp", "list", "--all-commits", "--name-only"
    ).split()
    for number, (name, label, changes) in enumerate(wanted, 1):
        if name not in listed:
            print(f"Training {number} of {len(wanted)}: {label}", flush=True)
            options = [f"--set-param={param}={value}" for param, value in changes.items()]
            # in a folder of its own, so that `data/` and `params.yaml` stay as they are
            if dvc_commands.run_dvc("exp", "run", "--temp", "--name", name, *options):
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
    """Read an experiment's copy of `data/`. Make its run if the tracking store lacks it.

    Raises:
        UserError: the run cannot be made.
    """
    if find_complete_run(data) is None:
        restore(name)
    run = find_complete_run(data)
    if run is None:
        raise UserError(f"The run of {name} is incomplete in the tracking store, see above.")
    flat_params = read_about(data / TRAIN.name, AboutTrain).flat_params()
    metrics = files.read_json(files.verified(data / EVALUATE.name / "metrics.json"))
    return Member(flat_params[SEED], name, run.run_id, flat_params, metrics)


def find_complete_run(data: Path) -> Run | None:
    """Return the run that has all of a training and its evaluation, or None if there is none."""
    run = tracking.find_run(outputs.read_run_record(data / TRAIN.name).training_id)
    folders = [data / stage.name for stage in (TRAIN, EVALUATE)]
    if run and all(tracking.has_all_outputs(run, folder) for folder in folders):
        return run
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
