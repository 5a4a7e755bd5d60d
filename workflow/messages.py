"""What a user reads: an error as one message, and texts of others without what they could do.

A control character can clear a terminal, and a mark of direction can turn around what follows it
(Boucher and Anderson 2021, Trojan Source).
"""

import errno
import re
from pathlib import Path

from sentiment.errors import UserError, redacted

DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
REPLACEMENT = 0xFFFD
PICTURES = 0x2400  # the picture of control character c is at PICTURES + c
KEPT = "\t\n"
SHOWN = {
    **dict.fromkeys([*range(0x80, 0xA0), *DIRECTIONS], REPLACEMENT),
    **{code: PICTURES + code for code in range(0x20) if chr(code) not in KEPT},
    0x7F: 0x2421,
}
UNWRITTEN = re.compile(r"\d+ requested and \d+ written")  # all that NumPy says of a full disk


def escape(text: str) -> str:
    """The text with a picture for each control character and each mark of direction.

    Tabs and line feeds stay; the text is as long as before.
    """
    return text.translate(SHOWN)


def explain(error: BaseException, again: str = "`dvc repro`") -> str | None:
    """Say in words what `error` means to a user, or None where only a traceback would help.

    Passwords and queries of addresses are left out, and control characters are shown.

    Args:
        error: what was raised.
        again: the command to run again once it is fixed.
    """
    said = _said(error, again)
    return escape(redacted(said)) if said else None


def _said(error: BaseException, again: str) -> str | None:
    if isinstance(error, UserError):
        return str(error)
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
