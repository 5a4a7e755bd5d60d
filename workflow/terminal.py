"""Output on a terminal: messages about errors, and texts by others without control characters."""

import errno
import re

from sentiment.errors import UserError, redact

# Control characters, except tab and line feed, can clear a terminal. Directional marks can reorder
# the text after them (Boucher and Anderson 2021, Trojan Source).
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
NUMPY_DISK_FULL = re.compile(r"\d+ requested and \d+ written")  # NumPy's only hint at a full disk


def replace_control_characters(text: str) -> str:
    """Replace each control character and directional mark by U+FFFD."""
    return UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def user_message(error: BaseException, retry_command: str) -> str | None:
    """Return the message about an error for a user, or None if only a traceback would help.

    Passwords and queries are removed from URLs, and control characters are replaced.

    Args:
        error: a `UserError` or an `OSError` gets a message, any other exception does not.
        retry_command: the command to run again once the problem is fixed.
    """
    if isinstance(error, UserError):
        message = str(error)
    elif not isinstance(error, OSError):
        return None
    elif NUMPY_DISK_FULL.search(str(error)):
        message = (
            f"No space left on device ({error}). Free some space and run {retry_command} again."
        )
    else:
        path = "" if error.filename is None else f"{error.filename}: "
        reason = error.strerror or error
        advice = "Free some space" if error.errno == errno.ENOSPC else "Fix that"
        message = f"{path}{reason}. {advice} and run {retry_command} again."
    return replace_control_characters(redact(message))
