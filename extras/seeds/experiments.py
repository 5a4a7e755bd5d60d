"""Train DVC experiments. None is trained twice, and an interrupted training is resumed."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dvc.api import DVCFileSystem

from extras.seeds.group import SEED, SeedGroup, SeedRun
from sentiment.data.params import FetchParams, describe_dataset
from sentiment.errors import UserError, first_line
from sentiment.section import flatten
from workflow import dvc_commands, files, outputs, processes, provenance, store, tracking
from workflow.about import AboutFetch, AboutTrain, read_about
from workflow.files import EVALUATE, FETCH, STAGES, TRAIN
from workflow.params import PARAMS_FILE, Params, load_params
from workflow.tracking import Run

NEEDED_FILES = [
    *(f"{TRAIN}/{name}" for name in ("about.json", "run.json", "gradients.csv")),
    *(f"{EVALUATE}/{name}" for name in ("about.json", "metrics.json", "gradients.csv")),
]


class Experiment(NamedTuple):
    """A DVC experiment.

    Attributes:
        name: its name in DVC.
        label: its name in messages.
        changes: values that differ from `params.yaml`, by dotted name.
    """

    name: str
    label: str
    changes: Mapping[str, Any]


def train_group(count: int) -> SeedGroup:
    """Train the current params with `count` seeds, unless they are trained already.

    Raises:
        UserError: there is no git commit, the store cannot be used, or a training failed.
    """
    params = load_params()
    experiments = seed_experiments(params, count)
    check_texts_are_tracked(params.fetch)
    store.connect()
    with tempfile.TemporaryDirectory() as scratch:
        runs = list(train_experiments(experiments, Path(scratch), "make seeds"))
    dataset = describe_dataset(params.fetch)
    name = provenance.run_name(params.train, params.pad, dataset, with_seed=False)
    return SeedGroup(f"{count} seeds{provenance.SEPARATOR}{name}", group_key(params), runs)


def group_key(params: Params) -> str:
    """Return the first eight digits of a digest of params, texts and code. The seed is left out.

    Machine and packages are left out, because DVC takes outputs from its cache regardless of them.
    """
    flat_params: dict[str, Any] = {}
    for stage in STAGES:
        flat_params |= flatten(getattr(params, stage), stage)
    del flat_params[SEED]
    document = {
        "params": flat_params,
        "texts": {name: text_digest(name) for name in dvc_commands.table_files(params.fetch)},
        "code": provenance.code_digests(STAGES),
    }
    return provenance.short_digest_of(document)[:8]


def text_digest(path_or_url: str) -> str | None:
    """Return the SHA-256 of a file with texts, or None if there is no such file.

    For a URL, return instead the digests of all files with texts that the last `fetch` recorded.

    Raises:
        UserError: it is a URL, and `fetch` has not run yet.
    """
    if "://" not in path_or_url:
        return files.sha256(Path(path_or_url)) if Path(path_or_url).is_file() else None
    fetched = read_about(FETCH, AboutFetch).flat_params()
    parts = ("table.train", "table.test", "added_texts")
    return str([fetched.get(f"fetch.{part}_sha256") for part in parts])


def seed_experiments(params: Params, count: int) -> list[Experiment]:
    """Return the experiments of `count` consecutive seeds, from the params' seed on."""
    first = params.train.seed
    key = group_key(params)
    return [
        Experiment(f"seeds-{key}-{seed}", f"seed {seed}", {SEED: seed})
        for seed in range(first, first + count)
    ]


def check_texts_are_tracked(params: FetchParams) -> None:
    """Check that the copies of the project in which DVC trains will have all texts.

    Raises:
        UserError: neither git nor DVC tracks a file of texts.
    """
    for name in dvc_commands.project_table_files(params):
        paths = (Path(name), *Path(name).parents)  # DVC may track the folder of a file
        is_tracked_by_dvc = any(Path(f"{path}.dvc").exists() for path in paths)
        if not is_tracked_by_dvc and not provenance.git("ls-files", "--", name):
            raise UserError(
                f"Neither git nor DVC tracks {name}, so the copies of the project in which the "
                f"seeds are trained would lack it. Run: dvc add '{name}'"
            )


def train_experiments(
    experiments: Sequence[Experiment], scratch: Path, command: str
) -> Iterator[SeedRun]:
    """Train the experiments that DVC does not have yet, and yield the run of each.

    Args:
        experiments: the experiments.
        scratch: a folder that gets the `NEEDED_FILES` of each experiment, in a folder of its name.
        command: the command to run again after a failure, for the message.

    Raises:
        UserError: a training failed, or an experiment's files cannot be read. Finished
            experiments stay.
    """
    listed = processes.command_output(
        *dvc_commands.DVC, "exp", "list", "--all-commits", "--name-only"
    ).split()
    for number, (name, label, changes) in enumerate(experiments, 1):
        if name not in listed:
            print(f"Training {number} of {len(experiments)}: {label}", flush=True)
            options = [f"--set-param={param}={value}" for param, value in changes.items()]
            # `--temp` trains in a copy, so that `data/` and `params.yaml` stay as they are.
            if dvc_commands.run_dvc("exp", "run", "--temp", "--name", name, *options):
                raise UserError(
                    f"The training of {label} failed, see above. Fix that, and run `{command}` "
                    "again. It continues from here."
                )
        copy_files(name, NEEDED_FILES, scratch / name)
        yield read_seed_run(name, scratch / name / files.DATA)


def copy_files(experiment: str, names: Iterable[str], target: Path) -> None:
    """Copy files or folders of an experiment from git, or from DVC's cache or remote.

    Args:
        experiment: name of the experiment.
        names: paths in the project, such as `data/train/run.json`.
        target: a folder that gets them under the same paths.

    Raises:
        UserError: a file cannot be read.
    """
    try:
        system = DVCFileSystem(".", rev=experiment)
        for name in names:
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            system.get(name, str(copy), recursive=True)
    except Exception as error:  # each kind of remote has its own errors
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES):
            raise  # the target cannot be written
        raise UserError(
            f"DVC's cache lacks files of {experiment}, and no remote provided them: "
            f"{first_line(error)}. If they are lost, remove the experiment, and run the command "
            f"again: dvc exp remove {experiment}"
        ) from None


def read_seed_run(name: str, data: Path) -> SeedRun:
    """Read the run of an experiment. Log it first if the tracking store lacks it.

    Args:
        name: name of the experiment.
        data: a copy of its `data/`.

    Raises:
        UserError: the run cannot be logged.
    """
    if find_complete_run(data) is None:
        log_experiment(name)
    run = find_complete_run(data)
    if run is None:
        raise UserError(
            f"The run of {name} is incomplete in the tracking store, see above. Fix that, and "
            "run the command again."
        )
    flat_params = read_about(data / TRAIN.name, AboutTrain).flat_params()
    metrics = files.read_json(files.verified(data / EVALUATE.name / "metrics.json"))
    return SeedRun(flat_params[SEED], name, run.run_id, flat_params, metrics)


def find_complete_run(data: Path) -> Run | None:
    """Return the run with all outputs of a training and its evaluation, or None."""
    run = tracking.find_run(outputs.read_run_record(data / TRAIN.name).training_id)
    folders = [data / stage.name for stage in (TRAIN, EVALUATE)]
    if run and all(tracking.has_all_outputs(run, folder) for folder in folders):
        return run
    return None


def log_experiment(name: str) -> None:
    """Log an experiment to the tracking store, by `make sync` in a copy of its files."""
    root = files.root()
    with tempfile.TemporaryDirectory() as scratch:
        folders = [f"{files.DATA}/{stage}" for stage in STAGES]
        copy_files(name, [*folders, str(PARAMS_FILE)], Path(scratch))
        environment = os.environ | {"DVC_ROOT": str(root), "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "tools.sync"]
        subprocess.run(command, cwd=scratch, env=environment, check=False)
