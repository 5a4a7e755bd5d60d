"""Errors that a user can fix, and their messages."""

import re

# A user name with a password. Over HTTP, a user name alone may be a token.
CREDENTIALS = re.compile(
    r"(?<=://)[^\s/:]*:[^\s/]*@|(?<=http://)[^\s/]*@|(?<=https://)[^\s/]*@", re.IGNORECASE
)
# The query of a URL, or of a path as urllib3 reports it. It may hold a signature or a token.
QUERY = re.compile(r"((?:://|url: )[\w.:/%@,~+-]*)\?[^\s'\"<>)\]]+")


class UserError(Exception):
    """A problem that the user can fix. The message says what is wrong and what to do."""


class StoreError(UserError):
    """A store of runs or trials cannot be used now. It may work again later."""


class AlreadyRunningError(UserError):
    """Another process is doing the same. The command works once that process has stopped."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without secrets (see `redact`)."""
    return redact(str(error).partition("\n")[0])


def redact(text: str) -> str:
    """Remove user names, passwords and queries from all URLs in a text."""
    return QUERY.sub(r"\1", CREDENTIALS.sub("", text))
