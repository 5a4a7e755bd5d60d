"""Errors that a user can fix, and their messages."""

import errno
import re
from pathlib import Path

from sentiment.visible import visible

# a name with a password; over HTTP a name alone may be a token
CREDENTIALS = re.compile(
    r"(?<=://)[^\s/:]*:[^\s/]*@|(?<=http://)[^\s/]*@|(?<=https://)[^\s/]*@", re.IGNORECASE
)
# of an address, or of its path as urllib3 names it; it may hold a signature or a token
QUERY = re.compile(r"((?:://|url: )[\w.:/%@,~+-]*)\?[^\s'\"<>)\]]+")


UNWRITTEN = re.compile(r"\d+ requested and \d+ written")  # all that NumPy says of a full disk


class UserError(Exception):
    """Something that the user can fix; its text says what is wrong and what to do."""


class StoreError(UserError):
    """A store of runs or trials cannot be used; it may be again later."""


class NotAllowedError(StoreError):
    """A store is there, and this user may not do there what is wanted."""


class RunningError(UserError):
    """Another process does what is wanted; it will have ended later."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line and without secrets, see `redacted`."""
    return redacted(str(error).partition("\n")[0])


def redacted(text: str) -> str:
    """A text whose addresses have no name with a password and no query, fit to be shown."""
    return QUERY.sub(r"\1", CREDENTIALS.sub("", text))


def explain(error: BaseException, again: str = "`dvc repro`") -> str | None:
    """Say in words what `error` means to a user, or None where only a traceback would help.

    Passwords and queries of addresses are left out, and control characters are shown.

    Args:
        error: what was raised.
        again: the command to run again once it is fixed.
    """
    said = _said(error, again)
    return visible(redacted(said)) if said else None


def _said(error: BaseException, again: str) -> str | None:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, OSError) and UNWRITTEN.search(str(error)):
        return f"No space left on device ({error}). Free some space and run {again} again."
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}. {_advice(error, again)}"
    if isinstance(error, OSError):  # from a library, which says more in its text
        return f"{error.strerror or error}. {_advice(error, again)}"
    return None


def _advice(error: OSError, again: str) -> str:
    if error.errno == errno.ENOSPC:
        return f"Free some space and run {again} again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Give yourself the right to use it and run {again} again."
    if error.errno == errno.ENOENT and "data" in Path(str(error.filename)).parts:
        return "Run `dvc repro`, which makes what is missing."
    return f"Fix that and run {again} again."
