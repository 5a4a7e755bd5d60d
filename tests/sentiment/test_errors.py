"""Messages of errors have no password in them."""

import pytest

from sentiment.errors import UserError, first_line, redact
from workflow.terminal import user_message


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
def test_password_and_query_of_a_url_are_removed(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_message_has_no_password_or_query() -> None:
    error = UserError("http://me:secret@host does not answer.\nStart it.")
    assert user_message(error, "`dvc repro`") == "http://host does not answer.\nStart it."
    assert first_line(error) == "http://host does not answer."
    gone = FileNotFoundError(2, "No such file", "s3://me:secret@host/key")
    assert "secret" not in str(user_message(gone, "`dvc repro`"))
