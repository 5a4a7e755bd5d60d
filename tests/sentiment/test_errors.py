"""What is said of an error has no password in it."""

import pytest
from workflow.ending import explain

from sentiment.errors import UserError, first_line, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://me:secret@host:81/x?", "at http://host:81/x?"),
        ("postgresql://me:se@cret@host/db", "postgresql://host/db"),
        ("ssh://me@host/data", "ssh://me@host/data"),
        ("url = https://token@host/x", "url = https://host/x"),
        ("403, url='https://host/a.csv?X-Amz-Signature=secret'", "403, url='https://host/a.csv'"),
        ("exceeded with url: /a.csv?sig=secret (Cause", "exceeded with url: /a.csv (Cause"),
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
