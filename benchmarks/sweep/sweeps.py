"""`python -m benchmarks.sweep.sweeps`: what a sweep costs beside its trainings; its limits.

The same trainings of the params in params.yaml, but for their seeds and epochs, one after the
other, by one worker, and by two, in turns; then trials that sleep in place of training, on many
workers, with SQLite and with PostgreSQL. Needs `data/fetch`. Writes `sweeps.md` beside this file.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import click

from benchmarks.report import spread
from extras.common import cluster
from extras.sweep import space, study, sweep, workers
from extras.sweep.sweep import Sweep
from extras.sweep.sweep_options import FILE, SweepOptions
from extras.sweep.trial import RUN, prepare
from sentiment.backend import load_keras
from sentiment.data.params import describe_dataset
from sentiment.network.progress import NO_PROGRESS
from sentiment.tokenizer import Reviews
from tests.services import postgres
from workflow import commands, provenance, store
from workflow.files import FETCH, read_reviews
from workflow.params import Params, load_params, load_yaml

if TYPE_CHECKING:
    import optuna

RESULTS = Path(__file__).with_name("sweeps.md")
SLEEP_SECONDS = 5.0


class Trained(NamedTuple):
    """What some trainings took.

    Attributes:
        seconds: all of them, TensorFlow's import included.
        beside: of each after a process's first, the seconds beside its epochs.
    """

    seconds: float
    beside: list[float]


class Slept(NamedTuple):
    """What many trials took that slept.

    Attributes:
        seconds: all of them.
        completed: how many of them ended well.
    """

    seconds: float
    completed: int


def wanted(trials: int, epochs: int) -> list[dict[str, Any]]:
    """The values of so many trials, which are equally long."""
    return [{"train.seed": number, "train.epochs": epochs} for number in range(trials)]


def one_after_the_other(values: Sequence[dict[str, Any]]) -> Trained:
    """Train with these values in this process, without Optuna, Dask, MLflow and checkpoints."""
    this_sweep, beside = sweep.open_sweep(load_params(), load_yaml(SweepOptions, FILE)), []
    reviews = read_reviews(FETCH, "train")
    begun = time.monotonic()
    load_keras()
    for settings in values:
        start = time.monotonic()
        _, training = prepare(this_sweep, reviews, settings)
        history = training.fit(NO_PROGRESS, lambda _: None, verbose=False).history
        beside.append(time.monotonic() - start - float(history["seconds"].sum()))
    return Trained(time.monotonic() - begun, beside[1:])


def by_workers(values: Sequence[dict[str, Any]], count: int, name: str) -> Trained:
    """Train with these values as the trials of a sweep, by so many workers."""
    this_sweep = sweep.open_sweep(load_params(), load_yaml(SweepOptions, FILE))
    searched = study.open_study(name + study.CONFIRMED, this_sweep.options)
    study.fill_with(searched, values)
    with cluster.local(count) as client:
        begun = time.monotonic()
        workers.search(client, this_sweep, (), searched, lambda: None)
        seconds = time.monotonic() - begun
    return Trained(seconds, list(beside_epochs(searched, count)))


def beside_epochs(searched: "optuna.Study", first: int) -> Iterator[float]:
    """The seconds of each trial beside its epochs, without the first ones."""
    import mlflow

    client = mlflow.MlflowClient(store.tracking_uri())
    for trial in sorted(study.completed(searched), key=lambda trial: trial.number)[first:]:
        epochs = client.get_metric_history(trial.user_attrs[RUN], "seconds")
        yield trial.duration.total_seconds() - sum(epoch.value for epoch in epochs)


def sleep(
    this_sweep: Sweep, _: Reviews, begun: Callable[[], object], trial: "optuna.Trial"
) -> float:
    """A trial that sleeps in place of training."""
    values = space.draw(trial, this_sweep.options.space)
    begun()
    time.sleep(SLEEP_SECONDS)
    value = float(values["train.learning_rate"])
    trial.report(value, 1)
    return value


def let_sleep() -> None:
    """In a worker: sleep where it would train."""
    patch.object(workers, "objective", sleep).start()


def sleepers(params: Params, trials: int, count: int, url: str) -> Slept:
    """Let so many workers sleep for so many trials."""
    options = load_yaml(SweepOptions, FILE)
    this_sweep = Sweep("sleep", "none", "", params, options, describe_dataset(params.fetch), {}, {})
    # a process that took the place of a used one would train
    with (
        patch.dict(os.environ, {study.STORAGE: url}),
        patch.object(workers, "TRIALS_A_PROCESS", trials),
        cluster.local(count) as client,
    ):
        searched = study.open_study(this_sweep.name, options)
        study.want(searched, trials)
        client.run(let_sleep)
        begun = time.monotonic()
        workers.search(client, this_sweep, (), searched, lambda: None)
        seconds = time.monotonic() - begun
    return Slept(seconds, len(study.completed(searched)))


@contextmanager
def sqlite() -> Iterator[str]:
    """The address of a database in a file."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/sweeps.db"


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server."""
    with postgres() as database:
        yield database.address


KINDS = {"one after the other": 0, "1 worker": 1, "2 workers": 2}
DATABASES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "SQLite": sqlite,
    "PostgreSQL": postgresql,
}


def in_process(kind: str, trials: int, epochs: int, name: str) -> Trained:
    """Train in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sweep.sweeps", "--only", kind]
    command += ["--trials", str(trials), "--epochs", str(epochs), "--name", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Trained(*json.loads(done.stdout.splitlines()[-1]))


def trainings_table(measured: dict[str, list[Trained]], trials: int) -> str:
    """What the trainings took, as Markdown."""
    seconds = {kind: statistics.median(x.seconds for x in done) for kind, done in measured.items()}
    alone = seconds["one after the other"]
    rows = ["| | trials an hour | of one after the other | a trial beside its epochs, s |"]
    rows.append("|" + " --- |" * 4)
    for kind, rounds in measured.items():
        beside = spread([seconds for one in rounds for seconds in one.beside])
        hourly = 3600 * trials / seconds[kind]
        rows.append(f"| {kind} | {hourly:.0f} | {alone / seconds[kind]:.2f} | {beside} |")
    return "\n".join(rows)


def goals_table(measured: dict[str, list[Trained]]) -> str:
    """What is wanted of the trainings, and what they reach, as Markdown."""
    one, two = (measured[kind] for kind in ("1 worker", "2 workers"))
    median = statistics.median
    rate = median(x.seconds for x in one) / median(x.seconds for x in two)
    alone, worker = (
        median(seconds for one in measured[kind] for seconds in one.beside)
        for kind in ("one after the other", "1 worker")
    )
    return "\n".join(
        [
            "| what | goal | measured |",
            "| --- | --- | --- |",
            f"| 2 workers of 1 thread / 1 of 2, trials an hour | ≥ 0.95 | {rate:.2f} |",
            f"| a trial of 1 worker beside its epochs, less the same without a sweep, s | ≤ 1 "
            f"| {worker - alone:.2f} |",
        ]
    )


def sleepers_table(measured: dict[str, Slept], trials: int, count: int) -> str:
    """What sleeping took, as Markdown."""
    least = trials / count * SLEEP_SECONDS
    rows = ["| database | seconds | beside sleep, s a trial | trials a second | completed |"]
    rows.append("|" + " --- |" * 5)
    for database, slept in measured.items():
        beside = (slept.seconds - least) * count / trials
        rate = trials / slept.seconds
        rows.append(
            f"| {database} | {slept.seconds:.0f} (least: {least:.0f}) | {beside:.2f} | {rate:.1f} "
            f"| {slept.completed} of {trials} |"
        )
    return "\n".join(rows)


@commands.command(__doc__)
@click.option("--trials", type=click.IntRange(min=3), default=6, help="Trainings of each kind.")
@click.option("--epochs", type=click.IntRange(min=1), default=2, help="Epochs of each.")
@click.option("--rounds", type=click.IntRange(min=1), default=2, help="Rounds of all kinds.")
@click.option("--sleeping", type=click.IntRange(min=1), default=1000, help="Trials that sleep.")
@click.option("--sleepers", "count", type=click.IntRange(min=1), default=50, help="Their workers.")
@click.option("--only", type=click.Choice(list(KINDS)), help="Train in this way and print it.")
@click.option("--name", default="bench", help="Name of that one's study.")
def main(
    trials: int, epochs: int, rounds: int, sleeping: int, count: int, only: str | None, name: str
) -> None:
    values = wanted(trials, epochs)
    if only:
        number = KINDS[only]
        done = by_workers(values, number, name) if number else one_after_the_other(values)
        print(json.dumps(done))
        return
    trained: dict[str, list[Trained]] = {kind: [] for kind in KINDS}
    for turn in range(rounds):
        for kind in KINDS:
            trained[kind].append(in_process(kind, trials, epochs, f"{os.getpid()}-{kind}-{turn}"))
            print(f"{kind}: {trained[kind][-1].seconds:.1f} s", flush=True)
    slept = {}
    for database, opened in DATABASES.items():
        with opened() as url:
            slept[database] = sleepers(load_params(), sleeping, count, url)
        print(f"{database}: {slept[database]}", flush=True)
    trainings = f"{trainings_table(trained, trials)}\n\n{goals_table(trained)}"
    write(trainings, sleepers_table(slept, sleeping, count), count)


def write(trainings: str, sleeping: str, count: int) -> None:
    """Write all tables."""
    told = provenance.machine_tags()
    RESULTS.write_text(
        f"""\
# Sweeps

Written by `python -m benchmarks.sweep.sweeps` on {datetime.now():%Y-%m-%d}, on \
{told["processor.cores"]} cores of an {told["processor.name"]}.

## Trainings on IMDB

{trainings}

## Trials that sleep for {SLEEP_SECONDS:.0f} s, on {count} workers of the same machine

{sleeping}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.sweep.sweeps", main)
