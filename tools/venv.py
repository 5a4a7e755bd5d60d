"""Build `.venv` from requirements.txt, and never take a half-built one for a good one.

Runs on whatever Python 3 is there, an unsuitable one too: standard library and old syntax only.
The stamp in `.venv` is written last. It names what the environment was built from and where:
a changed lock, another Python or a moved folder (scripts hold absolute paths) build it anew.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

LOCK = Path("requirements.txt")
VENV = Path(".venv")
STAMP = VENV / "complete"


def check_python(major: int, minor: int) -> None:
    """End with one line unless the version is suitable."""
    if not (3, 11) <= (major, minor) <= (3, 13):
        sys.exit(
            f"make: Python {major}.{minor} is not suitable, 3.11 to 3.13 are. "
            "Install one, or name it: make PYTHON=/path/to/python3.12 ..."
        )


def check_venv_module() -> None:
    """End with one line unless this Python can make virtual environments."""
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        major, minor = sys.version_info[:2]
        sys.exit(
            f"make: {sys.executable} cannot make virtual environments. Install its venv module "
            f"(on Debian and Ubuntu: apt install python{major}.{minor}-venv)."
        )


def expected_stamp() -> str:
    """What the stamp of a good environment says."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    return f"{digest}\n{sys.version}\n{VENV.resolve()}\n"


def is_complete() -> bool:
    """Whether `.venv` was built to the end, from this lock, by this Python, in this place."""
    return STAMP.is_file() and STAMP.read_text(encoding="utf-8") == expected_stamp()


def clear() -> None:
    """Remove `.venv`, its stamp first: one that is half removed is not taken for a good one."""
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        if STAMP.exists():
            STAMP.unlink()
        shutil.rmtree(str(VENV))


def build() -> None:
    """Build `.venv` from nothing; end with one line where that fails."""
    print("Building .venv from requirements.txt: 3 GB, a few minutes.", flush=True)
    clear()
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    install = [*pip, "install", "--require-hashes", "--requirement", str(LOCK)]
    # in an activated environment this very Python is one that was just cleared away
    base = getattr(sys, "_base_executable", sys.executable)
    for command in ([base, "-m", "venv", str(VENV)], install):
        if subprocess.call(command) != 0:
            sys.exit("make: .venv could not be built, see above. Run make again to try again.")
    STAMP.write_text(expected_stamp(), encoding="utf-8")


def main() -> None:
    check_python(*sys.version_info[:2])
    check_venv_module()
    if not is_complete():
        build()


if __name__ == "__main__":
    main()
