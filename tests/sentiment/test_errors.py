"""What is said of an error has no password in it."""

import pytest

from sentiment.errors import UserError, first_line, redacted
from workflow.ending import explain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://me:secret@host:81/x?", "at http://host:81/x?"),
        ("at http://:secret@host", "at http://host"),
        ("postgresql://me:se@cret@host/db", "postgresql://host/db"),
        ("ssh://me@host/data", "ssh://me@host/data"),
        ("url = https://token@host/x", "url = https://host/x"),
        ("see http://host/a:b@c", "see http://host/a:b@c"),
        ("two: a://u:p@h, b://u:p@h", "two: a://h, b://h"),
        ("403, url='https://host/a.csv?X-Amz-Signature=secret'", "403, url='https://host/a.csv'"),
        ("match pattern '^https?://[^@]+/$'", "match pattern '^https?://[^@]+/$'"),
        ("at HTTPS://token@host/x", "at HTTPS://host/x"),
        (
            "tries exceeded with url: /a.csv?sig=secret (Cause",
            "tries exceeded with url: /a.csv (Cause",
        ),
        ("Is this http://host/a.csv? Then what?", "Is this http://host/a.csv? Then what?"),
    ],
)
def test_a_password_or_query_of_an_address_is_left_out(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_no_message_has_one() -> None:
    error = UserError("http://me:secret@host does not answer.\nStart it.")
    assert explain(error) == "http://host does not answer.\nStart it."
    assert first_line(error) == "http://host does not answer."
    gone = FileNotFoundError(2, "No such file", "s3://me:secret@host/key")
    assert "secret" not in str(explain(gone))


def test_numpy_s_words_for_a_full_disk_say_what_to_do() -> None:
    said = explain(OSError("1000 requested and 12 written"))
    assert said == (
        "No space left on device (1000 requested and 12 written). Free some space and run "
        "`dvc repro` again."
    )
