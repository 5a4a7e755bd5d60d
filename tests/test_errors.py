"""Messages of errors have no password and no token in them."""

import pytest

from sentiment.errors import UserError, describe_error, first_line, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://me:secret@host:81/x?", "at http://host:81/x?"),
        ("url = https://token@host/x", "url = https://host/x"),
        ("sql://me:se@cret@host/db", "sql://host/db"),
        ("at sql://me:se/cret@host/db now", "at sql://…/db now"),
        ("at sql://me:12/34@host/db", "at sql://…/db"),
        ("at postgresql+psycopg://me:12/3@4@host/db", "at postgresql+psycopg://…/db"),
        ("at sql://me:se?cret@host/db", "at sql://…/db"),
        ("at sql://me:se cret@host/db now", "at sql://…/db now"),
        ("at sql://me:se\ncret@host/db", "at sql://…/db"),
        ("at 'sql://me:se'cret@host/db'", "at 'sql://…/db'"),
        ("sql://me:secret@[::1]:5432/db", "sql://[::1]:5432/db"),
        ("http://a:b@host/x, http://c:d@host/y", "http://host/x, http://host/y"),
        ("403, url='https://host/a.csv?X-Amz-Signature=secret'", "403, url='https://host/a.csv'"),
        ("at https://host/a.csv?to=me@example.org&sig=secret", "at https://host/a.csv"),
        ("https://me:secret@host/a.csv?to=me@example.org&sig=secret", "https://host/a.csv"),
        ("at http://me:se/cret@host/x", "at http://…/x"),
        ("at postgres://me:12/34@host/db", "at postgres://…/db"),
        ("at http://me:secret@host:81/team@other:82", "at http://host:81/team@other:82"),
        ("at https://host/#token=secret now", "at https://host/ now"),
        ("exceeded with url: /a.csv?sig=secret (Cause", "exceeded with url: /a.csv (Cause"),
    ],
)
def test_password_token_and_query_of_a_url_are_removed(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "ssh://me@host/data",
        "http://host:81/team@other:82",
        "http://host:5000/#/experiments/1/runs",
        "see http://localhost:$PORT/ or ask me@example.org",
        "f'http://{host}:{port}/x'\n\n@cache",
        "code @ git+https://host/owner/code@main",
        "http://host:5000 is away: ask me@example.org",
        "http://host:5000: ask me@example.org",
        "http://[::1]:5000/x is away: ask me@example.org",
        "'sql://host/db' and 'me@example.org'",
        "+url: s3://bucket:key\n@@ -1,2 +1,2 @@",
        "sqlite:///mlflow.db has no run 12@34",
    ],
)
def test_text_without_a_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_first_line_is_taken_after_a_password_with_a_line_feed_is_removed() -> None:
    error = ValueError("http://me:se\ncret@host does not answer.\nStart it.")
    assert first_line(error) == "http://… does not answer."


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("There is no file a.csv."), "There is no file a.csv."),
        (
            PermissionError(13, "Permission denied", "data/pad"),
            "data/pad: Permission denied. Fix this and run `dvc repro` again.",
        ),
        (
            OSError("1000 requested and 24 written"),
            "No space left on device. Free some space and run `dvc repro` again.",
        ),
        (
            OSError(28, "No space left on device", "data/roc.png", None, "mlruns/roc.png"),
            "mlruns/roc.png: No space left on device. Free some space and run `dvc repro` again.",
        ),
        (UserError("http://ann:secret@host/"), "http://host/"),
    ],
)
def test_a_problem_of_the_user_is_one_message(error: Exception, message: str) -> None:
    assert describe_error(error, "`dvc repro`") == message


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "x"), ValueError("x")])
def test_a_mistake_in_the_code_keeps_its_traceback(error: Exception) -> None:
    assert describe_error(error, "`dvc repro`") is None
