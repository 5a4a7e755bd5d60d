"""Let each call that writes fail, or end the process there, and check that `sync` makes all whole.

    python -m tests.fault_loop                         # all calls, in more than an hour
    python -m tests.fault_loop --every 40 candidate    # every 40th call of one scenario

In a prepared project, `sentiment sync` or `promote` is called, and its n-th writing call fails, for
n = 1, 2, ... until one succeeds. A writing call opens, renames or removes a file of the project,
makes or removes a folder, or commits a change of MLflow's database. After each, `sentiment sync` is
called twice: the first must make everything whole, once, and the second must change nothing.

Source: sqlite.org/testing.html, sections 3.1 to 3.3.
"""

import os
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from errno import ENOSPC
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import click
import sqlalchemy
from sqlalchemy import event

from tests.conftest import copy_project_files, run_stages, runs
from tests.project import MODEL, Project

ALPHA = 0.05
UNREACHABLE = "http://127.0.0.1:9"
FAULTS = ("error", "exit")
# Exit statuses of a process in which a writing call fails
FAILED = 1  # the publication failed
WENT_ON = 3  # the publication succeeded, because the call was not needed
KILLED = 9  # the process ended there
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGING_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link")
# What a publication imports, which takes seconds
IMPORTED = (
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tensorflow",
    "scipy.stats",
    "sentiment.evaluation.metrics",
    "sentiment.prediction.keras_classifier",
    "sentiment.prediction.pyfunc_model",
    "tracking.publish",
)
CHANGES = ("INSERT", "UPDATE", "DELETE", "CREATE")  # statements that change a database


class Scenario(NamedTuple):
    """A call that writes, and what is there before.

    Attributes:
        name: its name in the shell.
        title: what the call does.
        prepare: make it, in a new project.
        runs: number of runs that are there afterwards.
        act: the call.
    """

    name: str
    title: str
    prepare: Callable[[Project], None]
    runs: int
    act: Callable[[], None]


class Tally(NamedTuple):
    """The number of writing calls of a scenario that failed, and of those that ended whole."""

    tries: int
    whole: int


def prepare_first(project: Project) -> None:
    """Train and evaluate while the store is away."""
    run_stages(project, store=UNREACHABLE)


def prepare_candidate(project: Project) -> None:
    """Publish a first training. Train another one live, and evaluate it while the store is away."""
    run_stages(project)
    project.change(train={"units": 5})
    run_stages(project, "train")
    run_stages(project, "evaluate", store=UNREACHABLE)


def prepare_deletions(project: Project) -> None:
    """Publish a training, and delete its run, a model and all artifacts."""
    import mlflow

    run_stages(project)
    enter(project)
    (run,) = runs()
    client = mlflow.MlflowClient()
    (model,) = (each for each in logged_models(run) if each.name == "model")
    client.delete_logged_model(model.model_id)
    client.delete_run(run.info.run_id)
    shutil.rmtree(project.path / "mlruns")


def prepare_promotion(project: Project) -> None:
    """Publish two trainings, of which the second one is not promoted."""
    run_stages(project)
    project.change(train={"units": 5})
    run_stages(project, "train", "evaluate")


def sync() -> None:
    """Publish the files of the working directory."""
    from tracking import publish

    publish.sync(ALPHA)


def promote() -> None:
    """Promote the newest run."""
    from tracking import champion, registry, store

    with store.store_errors():
        registry.connect_experiment("synthetic")
        champion.promote_run(runs()[0].info.run_id)


SCENARIOS = (
    Scenario("first", "sync of a first run; the store is made", prepare_first, 1, sync),
    Scenario("candidate", "sync of a candidate beside a champion", prepare_candidate, 2, sync),
    Scenario("deletions", "sync after deletions", prepare_deletions, 1, sync),
    Scenario("promotion", "promote", prepare_promotion, 2, promote),
)


class WritingCalls:
    """Counts this process's writing calls, and lets one of them fail.

    Attributes:
        made: the number of writing calls so far.
    """

    def __init__(self, root: Path, number: int, fault: str) -> None:
        self.root = f"{root}{os.sep}"
        self.number = number
        self.fault = fault
        self.made = 0

    def install(self) -> None:
        """Watch the calls from now on, until the process ends."""
        sys.addaudithook(self._watch_file)
        event.listen(sqlalchemy.Engine, "before_cursor_execute", self._watch_statement)
        event.listen(sqlalchemy.Engine, "commit", self._watch_commit)

    def _watch_file(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            path, _, flags = arguments
            is_write = bool(flags & WRITING_FLAGS)
        elif name in CHANGING_EVENTS:
            path = arguments[1] if name == "os.rename" else arguments[0]
            is_write = True
        else:
            return
        if is_write and isinstance(path, str | Path):
            absolute = os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118 - Path() is watched
            if absolute.startswith(self.root):
                self._count(OSError(ENOSPC, os.strerror(ENOSPC), str(path)))

    def _watch_statement(self, connection: Any, _: Any, statement: str, *__: Any) -> None:
        if statement.lstrip().upper().startswith(CHANGES):
            connection.info["changed"] = True

    def _watch_commit(self, connection: Any) -> None:
        if connection.info.pop("changed", False):
            self._count(sqlalchemy.exc.OperationalError("COMMIT", None, Exception("disk full")))

    def _count(self, error: Exception) -> None:
        self.made += 1
        if self.made != self.number:
            return
        if self.fault == "exit":
            os._exit(KILLED)
        raise error


def act_with_fault(scenario: Scenario, project: Project, number: int, fault: str) -> None:
    """Make the call of a scenario, whose n-th writing call fails."""
    from sentiment.errors import UserError

    enter(project)
    calls = WritingCalls(project.path, number, fault)
    calls.install()
    try:
        scenario.act()
    except (UserError, OSError):
        sys.exit(FAILED)
    if calls.made >= number:
        sys.exit(WENT_ON)


def check_whole(project: Project, expected_runs: int) -> None:
    """Publish twice, and check that everything is there, once."""
    from tracking import publish

    enter(project)
    published = publish.sync(ALPHA)
    before = database_rows(project)
    again = publish.sync(ALPHA)
    assert again == published
    assert database_rows(project) == before, "the second sync changed the database"
    assert len(runs()) == expected_runs, "number of runs"
    for run in runs():
        check_run(run, "5" if run.info.run_id == published.run_id and expected_runs == 2 else "4")
    check_model_bytes(published.run_id)
    check_champion(expected_runs)


def check_run(run: Any, units: str) -> None:
    """Check that a run has everything, once."""
    import mlflow

    client = mlflow.MlflowClient()
    assert run.info.status == "FINISHED"
    assert run.data.params["train.units"] == units
    assert len(run.data.tags["mlflow.source.git.commit"]) == len("0" * 40)
    assert set(run.data.params) >= {"fetch.dataset", "pad.padding", "evaluate.threshold"}
    assert "evaluation" in run.data.tags
    assert run.data.tags["mlflow.note.content"].startswith("0.")
    for name in ("accuracy", "loss", "val_accuracy", "val_loss", "seconds"):
        points = client.get_metric_history(run.info.run_id, name)
        assert sorted(point.step for point in points) == [1, 2], name
    for name in ("test_accuracy", "weights_epoch"):
        assert len(client.get_metric_history(run.info.run_id, name)) == 1, name
    logged = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert {"params.yaml", "predictions.csv", "accuracy.png", "metrics", "inputs.json"} <= logged
    tables = {each.path for each in client.list_artifacts(run.info.run_id, "metrics")}
    assert {"metrics/history.csv", "metrics/roc.csv", "metrics/gradients.csv"} <= tables
    own = logged_models(run)
    assert sorted((model.name, str(model.status)) for model in own) == [
        ("model", "READY"),
        ("sentiment", "READY"),
    ]
    for model in own:
        assert mlflow.models.get_model_info(model.model_uri).run_id == run.info.run_id
    assert run.outputs is not None
    linked = {output.model_id for output in run.outputs.model_outputs}
    assert linked >= {model.model_id for model in own}  # and those that were deleted
    assert len(client.search_model_versions(f"run_id = '{run.info.run_id}'")) == 1


def check_model_bytes(run_id: str) -> None:
    """Check that the version of the run of `data/` has the model and the words of `data/`."""
    import mlflow

    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version.version}"))
    for path in (Path("data/train/model.keras"), Path("data/fetch/word_index.json")):
        assert (folder / "artifacts" / path.name).read_bytes() == path.read_bytes(), path


def check_champion(expected_runs: int) -> None:
    """Check that each version has a decision, and that alias and tags agree."""
    import mlflow

    client = mlflow.MlflowClient()
    champion = client.get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["decision"] == "promoted"
    versions = client.search_model_versions(f"name = '{MODEL}'")
    assert len(versions) == expected_runs
    for version in versions:
        assert version.tags["decision"] in ("promoted", "not promoted")
        assert version.tags["reason"]
        assert version.description


def logged_models(run: Any) -> list[Any]:
    """Return the logged models of a run."""
    import mlflow

    client = mlflow.MlflowClient()
    filter_string = f"source_run_id = '{run.info.run_id}'"
    return list(client.search_logged_models([run.info.experiment_id], filter_string))


def enter(project: Project) -> None:
    """Make a project's root the working directory, and its store MLflow's."""
    os.chdir(project.path)
    os.environ["MLFLOW_TRACKING_URI"] = ""


def database_rows(project: Project) -> list[str]:
    """Return the rows of MLflow's database as sorted statements."""
    path = project.path / "mlflow.db"
    with closing(sqlite3.connect(path)) as connection:
        return sorted(line for line in connection.iterdump() if line.startswith("INSERT"))


def in_child(output: Path, function: Callable[..., None], *arguments: Any) -> int:
    """Call a function in a fork of this process, and return the exit status.

    A fork has imported TensorFlow and MLflow already, which takes seconds.

    Args:
        output: the file that gets what the function prints.
        function: the function.
        arguments: its arguments.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with output.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    status = 0
    try:
        function(*arguments)
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
        status = 2
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def try_fault(scenario: Scenario, prepared: Project, number: int, fault: str) -> tuple[bool, bool]:
    """Return whether the n-th writing call was reached, and whether all was whole afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        project = prepared.copy(Path(scratch) / "project")
        output = Path(scratch) / "output"
        status = in_child(output, act_with_fault, scenario, project, number, fault)
        is_expected = status in (0, FAILED, WENT_ON, KILLED)
        is_whole = in_child(output, check_whole, project, scenario.runs) == 0
        if not (is_expected and is_whole):
            click.echo(f"NOT WHOLE: {scenario.title}, {fault} at call {number}")
            click.echo(output.read_text(encoding="utf-8"), err=True)
    return status != 0, is_expected and is_whole


def import_libraries() -> None:
    """Import what a publication needs, so that forks have it."""
    from workflow.stage import quiet_libraries

    quiet_libraries()
    from sentiment.prediction.backend import load_keras

    load_keras()
    for name in IMPORTED:
        import_module(name)


def prepared_scenarios(
    scenarios: Iterable[Scenario], folder: Path
) -> Iterator[tuple[Scenario, Project]]:
    """Yield each scenario with a project in which it is prepared."""
    for scenario in scenarios:
        path = folder / scenario.name
        path.mkdir()
        project = Project(path)
        copy_project_files(project)
        output = folder / "output"
        assert in_child(output, scenario.prepare, project) == 0, output.read_text(encoding="utf-8")
        yield scenario, project


def run_scenario(scenario: Scenario, prepared: Project, fault: str, every: int) -> Tally:
    """Let every n-th writing call of a scenario fail, one after the other."""
    whole = 0
    for tries, number in enumerate(count(every, every)):
        is_reached, is_whole = try_fault(scenario, prepared, number, fault)
        if not is_reached:
            return Tally(tries, whole)
        whole += is_whole
    raise AssertionError("unreachable")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([scenario.name for scenario in SCENARIOS]))
@click.option("--every", type=click.IntRange(1), default=1, show_default=True)
def main(names: tuple[str, ...], every: int) -> None:
    """Print a table of the scenarios, and exit with 1 if a try was not whole.

    Without NAMES, all scenarios are tried.
    """
    scenarios = [each for each in SCENARIOS if not names or each.name in names]
    import_libraries()
    is_all_whole = True
    click.echo("| call | fault | tries | whole | seconds |")
    click.echo("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        for scenario, prepared in prepared_scenarios(scenarios, Path(scratch)):
            for fault in FAULTS:
                started = time.monotonic()
                tally = run_scenario(scenario, prepared, fault, every)
                seconds = time.monotonic() - started
                is_all_whole &= tally.tries == tally.whole
                row = (scenario.title, fault, *tally, f"{seconds:.0f}")
                click.echo(f"| {' | '.join(map(str, row))} |")
    sys.exit(not is_all_whole)


if __name__ == "__main__":
    main()
