"""Of those that decide about a champion at once, each decides alone."""

import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import mlflow
import pytest

from sentiment.errors import StoreError
from tests.services import mlflow_server
from tests.workflow.registry.racing import Candidate, decide
from tests.workflow.registry.test_versions import write_evaluation
from workflow import files
from workflow.params import Promote
from workflow.registry import turns
from workflow.registry import versions as registry

AT_ONCE, SEED = (2, 2, 4, 4), 0  # how many decide at once, in each interleaving
REVIEWS = 60
THREADS = 8


class Tags:
    """The tags of a registered model, as a client changes them."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}

    def get_registered_model(self, _: str) -> SimpleNamespace:
        return SimpleNamespace(tags=dict(self.tags))

    def set_registered_model_tag(self, _: str, key: str, text: str) -> None:
        self.tags[key] = text

    def delete_registered_model_tag(self, _: str, key: str) -> None:
        self.tags.pop(key, None)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.01)
    return Tags()


def in_turn(client: Any, work: Callable[[], None] = lambda: None) -> None:
    with turns.turn(client, "model"):
        work()


def test_no_two_decide_at_once_and_those_who_wait_long_are_not_taken_for_dead(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "DEAD_SECONDS", 2)  # by a clock that counts the turns that are over
    inside, most, done = 0, 0, 0
    monkeypatch.setattr(turns, "time", SimpleNamespace(sleep=time.sleep, monotonic=lambda: done))

    def work() -> None:
        nonlocal inside, most, done
        inside += 1
        most = max(most, inside)
        time.sleep(0.15)
        inside -= 1
        done += 1

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: in_turn(client, work), range(THREADS), timeout=120))
    assert (most, done) == (1, THREADS)
    assert client.tags == {}


def test_who_waits_says_so_and_ends_turns_whose_process_died(
    client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "DEAD_SECONDS", 0.1)
    client.tags = {"promote.turn.one": "3", "promote.turn.other": "7", "other": "x"}
    in_turn(client)
    assert client.tags == {"other": "x"}
    assert capsys.readouterr().out == "Waiting for another process to decide about the champion\n"


def test_who_was_taken_for_dead_changes_nothing_and_says_so(client: Any) -> None:
    with turns.turn(client, "model") as deciding:
        deciding.set_registered_model_tag("model", "changed", "once")
        client.tags = {"changed": "once"}
        with pytest.raises(StoreError, match="Run the command again"):
            deciding.set_registered_model_tag("model", "changed", "twice")
    assert client.tags == {"changed": "once"}
    with pytest.raises(ZeroDivisionError), turns.turn(client, "model"):
        raise ZeroDivisionError
    assert client.tags == {"changed": "once"}  # who fails ends the turn


def test_who_slept_while_taking_a_number_takes_a_greater_one(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile another one took the same number, and decides."""
    look, other = client.get_registered_model, "promote.turn.other"

    def sleep(name: str) -> SimpleNamespace:
        monkeypatch.setattr(client, "get_registered_model", look)
        seen: SimpleNamespace = look(name)
        client.tags = {other: "1"}
        return seen

    def work() -> None:
        assert other not in client.tags

    monkeypatch.setattr(client, "get_registered_model", sleep)
    threading.Timer(0.2, lambda: client.tags.pop(other)).start()
    in_turn(client, work)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


class Evaluated(NamedTuple):
    """A run with so many right answers, and the folder of its evaluation."""

    right: int
    run: str
    folder: Path


@pytest.fixture(scope="module")
def evaluated(server: str, tmp_path_factory: pytest.TempPathFactory) -> list[Evaluated]:
    """Runs on the server, each with its evaluation in the place of whichever version it becomes."""
    mlflow.set_tracking_uri(server)
    client, scratch = mlflow.MlflowClient(), tmp_path_factory.mktemp("evaluated")
    experiment, runs = client.create_experiment("races"), []
    for right in range(10, REVIEWS, 7):
        run = client.create_run(experiment).info.run_id
        folder = write_evaluation(scratch / str(right), right, REVIEWS)
        for version in range(1, max(AT_ONCE) + 1):
            client.log_artifacts(run, str(folder), f"versions/{version}")
        runs.append(Evaluated(right, run, folder))
    return runs


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Processes that have imported MLflow already, so that they meet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.workflow.registry.racing"])
    with ProcessPoolExecutor(max(AT_ONCE), context) as pool:
        yield pool


def test_whatever_the_interleaving_each_champion_was_better_than_the_one_it_replaced(
    server: str,
    evaluated: list[Evaluated],
    processes: ProcessPoolExecutor,
    rule: Promote,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    client, rng = mlflow.MlflowClient(), random.Random(SEED)
    for number, count in enumerate(AT_ONCE):
        name, chosen, decisions = f"race-{number}", rng.sample(evaluated, count), []
        client.create_registered_model(name)
        for _, run, folder in chosen:
            tags = {registry.EVALUATION: files.sha256(folder / files.ABOUT)}
            version = client.create_model_version(name, f"runs:/{run}/model", run, tags=tags)
            candidate = Candidate(version.version, folder)
            decisions.append((server, name, candidate, rule, rng.randrange(2**32)))
        list(processes.map(decide, *zip(*decisions, strict=True), timeout=600))
        check(name, [run.right for run in chosen])


def check(name: str, rights: list[int]) -> None:
    """Every version has a decision and a reason, and the champions are one chain."""
    client = mlflow.MlflowClient()
    versions = client.search_model_versions(f"name='{name}'")
    tags_of = {str(version.version): version.tags for version in versions}
    assert len(tags_of) == len(rights), name
    assert not client.get_registered_model(name).tags, name
    current = str(client.get_model_version_by_alias(name, registry.CHAMPION).version)
    chain = []
    while current != registry.NOBODY:
        chain.append(current)
        current = tags_of[current][registry.REPLACED]
    decided = [
        version for version, tags in tags_of.items() if tags[registry.DECISION] == "champion"
    ]
    assert sorted(decided) == sorted(chain), name
    right = [rights[int(version) - 1] for version in chain]
    assert right == sorted(right, reverse=True), name
    tested = [tags for tags in tags_of.values() if registry.AGAINST in tags]
    levels = {(tags[registry.AGAINST], tags[registry.NUMBER]) for tags in tested}
    assert len(levels) == len(tested), name
    for version in tags_of.keys() - {chain[-1]}:
        _, _, whom = tags_of[version][registry.REASON].rpartition("(the champion: version ")
        assert whom.rstrip(")") in chain, name
