"""A checkpoint keeps the state and the journal of one training, which one process uses."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import UserError
from sentiment.project import checkpoint
from sentiment.project.checkpoint import (
    CHECKPOINTS_FOLDER,
    JOURNAL_FILE,
    STATE_FILE,
    AlreadyRunningError,
    Checkpoint,
    Journal,
    exclusive_checkpoint,
)
from tests.full_disk import full_disk

pytestmark = pytest.mark.usefixtures("in_tmp_path")
FOLDER = Path(CHECKPOINTS_FOLDER, "abc")
JOURNAL = Journal(tags={"mlflow.source.git.commit": "0123"}, diff="+x = 1", model_digest="89ab")


@pytest.fixture
def saved(in_tmp_path: Path) -> Checkpoint:
    """Return an empty checkpoint."""
    folder = in_tmp_path / FOLDER
    folder.mkdir(parents=True)
    return Checkpoint(folder)


def write_epoch(saved: Checkpoint, epoch: int) -> None:
    saved.write_state({"epochs": np.array(epoch)})


def read_epoch(saved: Checkpoint) -> int | None:
    state = saved.read_state()
    return None if state is None else int(state["epochs"])


def test_the_journal_is_read_back_with_the_digest_of_the_model(saved: Checkpoint) -> None:
    assert saved.read_journal() is None
    saved.write_journal(Journal())
    saved.write_journal(JOURNAL)
    assert saved.read_journal() == JOURNAL


def test_each_training_has_an_id_of_its_own() -> None:
    assert Journal().training_id != Journal().training_id


def test_the_state_after_the_last_epoch_is_read_back(saved: Checkpoint) -> None:
    assert read_epoch(saved) is None
    write_epoch(saved, 9)
    write_epoch(saved, 10)
    assert read_epoch(saved) == 10


def test_a_removed_state_leaves_the_journal(saved: Checkpoint) -> None:
    saved.write_journal(JOURNAL)
    write_epoch(saved, 2)
    for _ in range(2):
        saved.remove_state()
        assert read_epoch(saved) is None
    assert saved.read_journal() == JOURNAL


@pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda _: b"", lambda _: b"no"])
@pytest.mark.parametrize("name", [STATE_FILE, JOURNAL_FILE])
def test_a_damaged_file_is_one_message_that_says_what_to_delete(
    saved: Checkpoint, name: str, damage: Callable[[bytes], bytes]
) -> None:
    saved.write_journal(JOURNAL)
    write_epoch(saved, 2)
    path = saved.folder / name
    path.write_bytes(damage(path.read_bytes()))
    read = saved.read_state if name == STATE_FILE else saved.read_journal
    with pytest.raises(UserError, match=rf"^{path} is damaged \(.*\)\. Delete {path.parent}\."):
        read()


def test_a_changed_number_in_a_state_is_noticed(saved: Checkpoint) -> None:
    saved.write_state({"variable-0": np.arange(100, dtype=np.uint8)})
    path = saved.folder / STATE_FILE
    content = path.read_bytes()
    path.write_bytes(content.replace(bytes(range(100)), bytes([7, *range(1, 100)])))
    assert path.read_bytes() != content
    with pytest.raises(UserError, match="is damaged"):
        saved.read_state()


class Pickled:
    """Creates the file `unpickled` when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (Path("unpickled"),)


def test_a_pickle_in_a_state_is_refused_and_not_unpickled(saved: Checkpoint) -> None:
    saved.write_state({"variable-0": np.array([Pickled()], dtype=object)})
    with pytest.raises(UserError, match="is damaged"):
        saved.read_state()
    assert not Path("unpickled").exists()


def test_a_write_that_fails_leaves_the_previous_state(saved: Checkpoint) -> None:
    write_epoch(saved, 1)
    with full_disk(), pytest.raises(OSError, match="large"):
        write_epoch(saved, 2)
    assert read_epoch(saved) == 1


def test_a_training_that_runs_is_not_started_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "WAIT_SECONDS", 0.1)
    with (
        exclusive_checkpoint("abc"),
        pytest.raises(AlreadyRunningError, match="already running"),
        exclusive_checkpoint("abc"),
    ):
        pass


def test_another_training_may_run_beside_it() -> None:
    with exclusive_checkpoint("abc") as one, exclusive_checkpoint("other") as other:
        assert one.folder != other.folder


def test_a_training_that_is_about_to_end_is_waited_for() -> None:
    is_held = threading.Event()

    def end_soon() -> None:
        with exclusive_checkpoint("abc") as saved:
            is_held.set()
            time.sleep(0.1)
            saved.write_journal(JOURNAL)

    thread = threading.Thread(target=end_soon)
    thread.start()
    is_held.wait()
    with exclusive_checkpoint("abc") as saved:
        assert saved.read_journal() == JOURNAL
    thread.join()
