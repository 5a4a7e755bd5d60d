"""Of those that decide about a champion at once, each decides alone."""

import multiprocessing
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest

from sentiment import files
from sentiment.errors import StoreError
from sentiment.params import Params, Promote
from sentiment.registry import turns
from sentiment.registry import versions as registry
from sentiment.registry.turns import Turn
from sentiment.runs import store
from tests.sentiment.registry.racing import Candidate, decide
from tests.sentiment.registry.test_versions import write_evaluation
from tests.services import mlflow_server

INTERLEAVINGS, SEED = 50, 0
REVIEWS = 60


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


def test_no_two_decide_at_once_and_all_do(client: Any) -> None:
    inside, most, done = 0, 0, []

    def decide(turn: Turn) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        turn.check()
        inside -= 1
        done.append(turn.tag)

    threads = [
        threading.Thread(target=turns.decided, args=(client, "model", decide)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert most == 1
    assert len(done) == len(threads)
    assert client.tags == {}


def test_a_decision_that_fails_ends_its_turn(client: Any) -> None:
    def fail(_: Turn) -> None:
        raise StoreError("away")

    with pytest.raises(StoreError):
        turns.decided(client, "model", fail)
    assert client.tags == {}


def test_a_turn_whose_process_died_is_ended(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "DEAD_SECONDS", 0.1)
    client.tags = {"promote.turn.waiting": "0", "promote.turn.deciding": "7", "other": "x"}
    assert turns.decided(client, "model", lambda turn: turn.again) is False
    assert client.tags == {"other": "x"}


def test_those_who_wait_long_are_not_taken_for_dead(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "DEAD_SECONDS", 0.3)
    again: list[bool] = []

    def decide(turn: Turn) -> None:
        time.sleep(0.1)
        again.append(turn.again)

    threads = [
        threading.Thread(target=turns.decided, args=(client, "model", decide)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert again == [False] * 8


def test_who_was_taken_for_dead_decides_again(client: Any) -> None:
    asked: list[bool] = []

    def decide(turn: Turn) -> None:
        asked.append(turn.again)
        if not turn.again:
            client.tags.clear()
        turn.check()

    turns.decided(client, "model", decide)
    assert asked == [False, True]


def test_the_store_of_this_folder_takes_no_turns(
    client: Any, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    assert root.is_dir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    client.tags = {"promote.turn.of-another": "1"}
    turns.decided(client, "model", Turn.check)
    assert client.tags == {"promote.turn.of-another": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Processes that have imported MLflow already, so that they meet."""
    with ProcessPoolExecutor(5, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture
def rule(default_params: Params) -> Promote:
    return default_params.promote


def candidates(name: str, folder: Path, rights: list[int]) -> list[Candidate]:
    """Versions of a new registered model with so many right answers each."""
    client, experiment = mlflow.MlflowClient(), store.connect()
    client.create_registered_model(name)
    made = []
    for number, right in enumerate(rights):
        evaluation = write_evaluation(folder / name / str(number), right, REVIEWS)
        run = client.create_run(experiment).info.run_id
        tags = {registry.EVALUATION: files.sha256(evaluation / "about.json")}
        version = client.create_model_version(name, f"runs:/{run}/model", run, tags=tags)
        client.log_artifacts(run, str(evaluation), f"versions/{version.version}")
        made.append(Candidate(version.version, evaluation))
    return made


@pytest.mark.parametrize("count", [2, 5])
def test_whatever_the_interleaving_each_champion_was_better_than_the_one_it_replaced(
    count: int,
    server: str,
    processes: ProcessPoolExecutor,
    rule: Promote,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    rng = random.Random(SEED)
    for number in range(INTERLEAVINGS):
        name = f"race-{count}-{number}"
        rights = dict(enumerate(rng.sample(range(10, REVIEWS, 7), count), 1))
        made = candidates(name, tmp_path, list(rights.values()))
        seeds = [rng.randrange(2**32) for _ in made]
        list(
            processes.map(
                decide, [server] * count, [name] * count, made, [rule] * count, seeds, timeout=60
            )
        )
        check(name, rights, f"interleaving {number} of {count}")


def check(name: str, rights: dict[int, int], where: str) -> None:
    """Every version has a decision and a reason, and the champions are one chain."""
    client = mlflow.MlflowClient()
    found = {
        int(each.version): each.tags for each in client.search_model_versions(f"name='{name}'")
    }
    assert set(found) == set(rights), where
    assert not [tag for tag in client.get_registered_model(name).tags if turns.NUMBER in tag], where
    current = client.get_model_version_by_alias(name, registry.CHAMPION).version
    chain = []
    while current != registry.NOBODY:
        chain.append(int(current))
        current = found[int(current)][registry.REPLACED]
    champions = {version for version in found if found[version][registry.DECISION] == "champion"}
    assert champions == set(chain), where
    right = [rights[each] for each in chain]
    assert right == sorted(right, reverse=True), where
    for version, tags in found.items():
        if version != chain[-1]:
            assert f"(the champion: version {whom(tags)})" in tags[registry.REASON], where
            assert whom(tags) in map(str, chain), where


def whom(tags: dict[str, str]) -> str:
    """Against which version one was tested, or to which it was compared."""
    return tags[registry.REASON].rpartition("version ")[2].rstrip(")")
