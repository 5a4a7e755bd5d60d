"""Errors that a user can fix become one message, and texts cannot control a terminal."""

import errno
import os

from sentiment.errors import UserError
from workflow.terminal import replace_control_characters, user_message


def test_full_disk_is_named_with_its_file_and_what_to_do() -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/.pad.partial/x.npy")
    message = user_message(error, "`dvc repro`")
    assert message == (
        "data/.pad.partial/x.npy: No space left on device. Free some space and run `dvc repro` "
        "again."
    )


def test_full_disk_is_recognized_in_the_words_of_numpy() -> None:
    message = user_message(OSError("1000 requested and 12 written"), "`dvc repro`")
    assert str(message).startswith("No space left on device (1000 requested and 12 written). Free")


def test_other_error_of_the_system_names_the_command_to_run_again() -> None:
    error = FileNotFoundError(2, "No such file", "typo.csv")
    message = user_message(error, "`make predict`")
    assert message == "typo.csv: No such file. Fix that and run `make predict` again."


def test_programming_error_has_no_message() -> None:
    assert user_message(ZeroDivisionError("division by zero"), "`dvc repro`") is None


def test_message_shows_no_password_and_no_control_character() -> None:
    message = user_message(UserError("https://ann:secret@h/a.csv\x1b[2J is empty"), "`dvc repro`")
    assert message == "https://h/a.csv\N{REPLACEMENT CHARACTER}[2J is empty"


def test_control_characters_and_directional_marks_are_replaced_one_by_one() -> None:
    assert replace_control_characters("a\x00\x9b\u202eb\tc\n") == "a\ufffd\ufffd\ufffdb\tc\n"
