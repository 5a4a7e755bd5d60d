"""Errors that a user can fix, and their messages."""

import re

# a name with a password; over HTTP a name alone may be a token
CREDENTIALS = re.compile(
    r"(?<=://)[^\s/:]*:[^\s/]*@|(?<=http://)[^\s/]*@|(?<=https://)[^\s/]*@", re.IGNORECASE
)
# of an address, or of its path as urllib3 names it; it may hold a signature or a token
QUERY = re.compile(r"((?:://|url: )[\w.:/%@,~+-]*)\?[^\s'\"<>)\]]+")


class UserError(Exception):
    """Something that the user can fix; its text says what is wrong and what to do."""


class StoreError(UserError):
    """A store of runs or trials cannot be used; it may be again later."""


class NotAllowedError(StoreError):
    """A store is there, and this user may not do there what is wanted."""


class AlreadyRunningError(UserError):
    """Another process does what is wanted; it will have ended later."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line and without secrets, see `redacted`."""
    return redacted(str(error).partition("\n")[0])


def redacted(text: str) -> str:
    """A text whose addresses have no name with a password and no query, fit to be shown."""
    return QUERY.sub(r"\1", CREDENTIALS.sub("", text))
