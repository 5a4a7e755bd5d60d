"""Errors that a user can fix, and their messages."""

import errno
import os
import re

# A user name with a password in a URL, up to the last @ before a slash. Over HTTP, a user name
# alone may be a token.
CREDENTIALS = re.compile(
    r"(?<=://)[^\s/?#:@'\"\[]*:[^\s/?#'\"]*@"
    r"|(?:(?<=http://)|(?<=https://))[^\s/?#'\"]*@",
    re.IGNORECASE,
)
# A password with a character that it cannot contain in a URL, such as a space or a slash. Where it
# ends is not certain, so the host goes as well: it could belong to another address in the text.
# Neither a port nor the @@ of a diff belongs to a password.
UNCERTAIN_CREDENTIALS = re.compile(
    r"(?:(?<=sql://)|(?<=postgres://)|(?<=\+psycopg://))[^\s/:@'\"\[]*:[^\s'\"@]*@[^\s/'\"]*"
    r"|(?<=://)[^\s/:@'\"\[{]*:(?!\d+\b|[\s/'\"])(?:[^\s@{}]{1,100}|[^@/{}]{1,100})@(?!@)[^\s/'\"]*",
    re.IGNORECASE,
)
# The query of a URL, or of a path as urllib3 reports it, and a fragment that is written like a
# query. They may hold a signature or a token.
QUERY = re.compile(r"((?:://|url: )[\w.:/%@,~+-]*)(?:\?|#(?=[\w-]+=))[^\s'\"<>)\]]+")

ERRORS_OF_THE_MACHINE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EMFILE,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EADDRINUSE,
}
NUMPY_DISK_FULL = re.compile(r"\d+ requested and \d+ written")  # NumPy's only hint at a full disk


class UserError(Exception):
    """A problem that the user can fix. The message says what is wrong and what to do."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without secrets."""
    return redact(str(error)).partition("\n")[0]


def redact(text: str) -> str:
    """Remove passwords with their user names, tokens and queries from all URLs in a text."""
    plain = UNCERTAIN_CREDENTIALS.sub("…", CREDENTIALS.sub("", text))
    return QUERY.sub(r"\1", plain)


def is_of_the_machine(error: OSError) -> bool:
    """Return whether the machine or a permission is the cause, rather than a mistake in the code.

    A function that reads a file raises a `UserError` if the file is missing. So a
    `FileNotFoundError` is a mistake here.
    """
    return bool(
        NUMPY_DISK_FULL.search(str(error))
        or error.errno in ERRORS_OF_THE_MACHINE
        or isinstance(error, ConnectionError | TimeoutError)
    )


def describe_error(error: Exception, retry: str) -> str | None:
    """Return the message about an error for a user, without passwords in URLs.

    Args:
        error: a `UserError`, or an `OSError` of the machine, such as a full disk. Any other
            exception has no message: only its traceback helps.
        retry: what to run again once the problem is fixed.
    """
    if isinstance(error, UserError):
        return redact(str(error))
    if not isinstance(error, OSError) or not is_of_the_machine(error):
        return None
    # An error of copying has both names, and the second one is where the disk may be full.
    filename = error.filename2 or error.filename
    path = "" if filename is None else f"{filename}: "
    reason = error.strerror or str(error)
    if NUMPY_DISK_FULL.search(str(error)):
        reason = os.strerror(errno.ENOSPC)
    is_full = error.errno == errno.ENOSPC or reason == os.strerror(errno.ENOSPC)
    advice = "Free some space" if is_full else "Fix this"
    return redact(f"{path}{reason}. {advice} and run {retry} again.")
