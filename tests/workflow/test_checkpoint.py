"""A checkpoint is written whole, belongs to one training, and gives its journal to one run."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sentiment.errors import AlreadyRunningError
from tests.full_disk import full_disk
from workflow.checkpoint import (
    CHECKPOINTS_FOLDER,
    STALE_AFTER_DAYS,
    STATE_FILE,
    Journal,
    exclusive_checkpoint,
    remove_stale_checkpoints,
    unused_checkpoints,
)

pytestmark = pytest.mark.usefixtures("in_tmp_path")
COMMIT = {"mlflow.source.git.commit": "0123"}
EPOCHS = [{"loss": 0.5, "ended": 1.5}]


def begin(key: str = "abc") -> Journal:
    """Write the journal of a new training."""
    journal = Journal(tags=COMMIT)
    with exclusive_checkpoint(key) as saved:
        saved.write_journal(journal)
    return journal


def end(journal: Journal) -> Journal:
    """Write the journal of a training that has ended."""
    ended = journal.model_copy(update={"epochs": EPOCHS})
    with exclusive_checkpoint("abc") as saved:
        saved.write_journal(ended)
    return ended


def write_epoch(journal: Journal, epoch: int) -> None:
    with exclusive_checkpoint("abc") as saved:
        saved.write_state(journal, {"epochs": np.array(epoch)})


def read() -> tuple[Journal | None, int | None]:
    """Read the journal and the epoch of a training that resumes."""
    with exclusive_checkpoint("abc") as saved:
        journal, state = saved.read_training()
        return journal, None if state is None else int(state["epochs"])


def test_the_state_after_the_last_epoch_is_read_back_with_the_journal() -> None:
    assert read() == (None, None)
    journal = begin()
    assert read() == (journal, None)
    write_epoch(journal, 9)
    write_epoch(journal, 10)
    assert read() == (journal, 10)


def test_each_training_has_an_id_of_its_own() -> None:
    assert begin("abc").training_id != begin("other").training_id


def test_the_state_of_another_training_is_not_restored() -> None:
    write_epoch(begin(), 2)
    journal = begin()
    assert read() == (journal, None)


@pytest.mark.parametrize("damage", [lambda content: content[:-30], lambda _: b"", lambda _: b"no"])
def test_a_damaged_state_starts_a_new_training(
    damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its journal too, because the new epochs are not those that were logged before."""
    write_epoch(begin(), 2)
    path = Path(CHECKPOINTS_FOLDER, "abc", STATE_FILE)
    path.write_bytes(damage(path.read_bytes()))
    assert read() == (None, None)
    assert f"{STATE_FILE} was damaged" in capsys.readouterr().out


@pytest.mark.parametrize("name", [STATE_FILE, "training.json"])
def test_a_changed_byte_is_noticed_wherever_it_is(name: str) -> None:
    journal = begin()
    write_epoch(journal, 2)
    folder = Path(CHECKPOINTS_FOLDER, "abc")
    whole = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    with exclusive_checkpoint("abc") as saved:
        for position in range(len(whole[name])):
            for each, content in whole.items():
                (folder / each).write_bytes(content)
            changed = bytearray(whole[name])
            changed[position] ^= 1
            (folder / name).write_bytes(changed)
            assert saved.read_training() == (None, None), position


def test_a_write_that_fails_leaves_the_previous_state() -> None:
    journal = begin()
    write_epoch(journal, 1)
    with exclusive_checkpoint("abc") as saved, full_disk(), pytest.raises(OSError, match="large"):
        saved.write_state(journal, {"epochs": np.array(2)})
    assert read() == (journal, 1)


def test_a_training_that_has_ended_gives_its_journal_to_the_first_evaluation_alone() -> None:
    ended = end(begin())
    with exclusive_checkpoint("abc") as saved:
        assert saved.claim_journal("first") == ended
        assert saved.claim_journal("second") is None
        assert saved.claim_journal("first") == ended
        assert saved.read_journal() is None


def test_a_training_that_resumes_keeps_its_journal_and_its_state() -> None:
    """An earlier training with the same key may be evaluated before it resumes."""
    journal = begin()
    write_epoch(journal, 2)
    with exclusive_checkpoint("abc") as saved:
        assert saved.claim_journal("first") is None
        saved.remove_ended_state()
    assert read() == (journal, 2)


def test_the_state_of_a_training_that_was_evaluated_is_removed() -> None:
    journal = begin()
    write_epoch(journal, 2)
    end(journal)
    with exclusive_checkpoint("abc") as saved:
        saved.claim_journal("first")
        saved.remove_ended_state()
    assert not Path(CHECKPOINTS_FOLDER, "abc", STATE_FILE).exists()


def test_the_journals_of_all_runs_of_a_training_are_read() -> None:
    first = end(begin())
    with exclusive_checkpoint("abc") as saved:
        saved.claim_journal("first")
    second = begin()
    with exclusive_checkpoint("abc") as saved:
        assert saved.journals() == [second, first]


def test_a_training_that_runs_is_not_started_twice() -> None:
    with (
        exclusive_checkpoint("abc"),
        pytest.raises(AlreadyRunningError, match="already running"),
        exclusive_checkpoint("abc", wait_seconds=0.1),
    ):
        pass


def test_a_training_that_is_about_to_end_is_waited_for() -> None:
    is_held = threading.Event()
    journal = Journal()

    def end_soon() -> None:
        with exclusive_checkpoint("abc") as saved:
            is_held.set()
            time.sleep(0.1)
            saved.write_journal(journal)

    thread = threading.Thread(target=end_soon)
    thread.start()
    is_held.wait()
    assert read() == (journal, None)
    thread.join()


def test_a_checkpoint_that_a_process_uses_is_not_taken_for_unused() -> None:
    begin("used")
    unused = begin("unused")
    with exclusive_checkpoint("used"):
        assert [each.read_journal() for each in unused_checkpoints()] == [unused]


def test_no_process_can_use_a_checkpoint_while_it_is_taken_for_unused() -> None:
    """Otherwise the run of a training that resumes at that moment would be ended."""
    begin()
    for _ in unused_checkpoints():
        with pytest.raises(AlreadyRunningError), exclusive_checkpoint("abc", wait_seconds=0.1):
            pass
    with exclusive_checkpoint("abc"):
        pass


def test_checkpoints_that_were_not_used_for_long_are_removed() -> None:
    for key in ("stale", "recent"):
        begin(key)
    long_ago = time.time() - (STALE_AFTER_DAYS + 1) * 24 * 3600
    os.utime(Path(CHECKPOINTS_FOLDER, "stale"), (long_ago, long_ago))
    remove_stale_checkpoints()
    assert [path.name for path in Path(CHECKPOINTS_FOLDER).glob("*/")] == ["recent"]


def test_the_journal_of_an_earlier_run_with_the_same_evaluation_stays() -> None:
    first = end(begin())
    with exclusive_checkpoint("abc") as saved:
        saved.claim_journal("evaluation")
    second = end(begin())
    with exclusive_checkpoint("abc") as saved:
        assert saved.claim_journal("evaluation") == second
        assert sorted(journal.training_id for journal in saved.journals()) == sorted(
            [first.training_id, second.training_id]
        )
