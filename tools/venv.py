"""Build the environment that `.venv` links to from requirements.txt.

`tools/venv.py sweep` also installs extras/sweep/requirements.txt into it.

This file runs on any Python 3, also on an unsuitable one, so it uses only old syntax and the
standard library.

An environment is a folder `.venv-<digest>`. The digest is that of the lock, the Python and the
folder's path, because scripts hold absolute paths: if one of them changes, another environment is
built. `.venv` links to it when it is complete. Until then, the previous environment works.

uv installs the packages several times as fast as pip. If uv fails, pip installs them.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TextIO

LOCK = Path("requirements.txt")
VENV = Path(".venv")
NAME_PATTERN = ".venv-" + 12 * "[0-9a-f]"
REPLACED = ".venv-" + 12 * "0"  # a folder `.venv` gets this name when a link takes its place
COMPLETE = "complete"  # this file is written last
BUILD_LOCK = Path(".venv.lock")  # one process at a time builds


def check_python(major: int, minor: int) -> None:
    """Exit with one line unless the version is suitable."""
    if not (3, 11) <= (major, minor) <= (3, 13):
        sys.exit(
            f"make: Python {major}.{minor} is not suitable, 3.11 to 3.13 are. "
            "Install one, or name it: make PYTHON=/path/to/python3.12 ..."
        )


def name_in(folder: Path) -> str:
    """Return the name of the environment of this lock and this Python in a folder."""
    source = LOCK.read_bytes() + f"{sys.version}\n{folder}".encode()
    return f".venv-{hashlib.sha256(source).hexdigest()[:12]}"


def is_complete() -> bool:
    """Return whether `.venv`, or what it links to, is the complete environment of this lock."""
    built = VENV.resolve()
    return built.name == name_in(built.parent) and (built / COMPLETE).is_file()


def link_environment(built: Path) -> None:
    """Let `.venv` link to an environment, and remove all others but the previous one."""
    # A training or a server may still run in the previous environment.
    kept = [built.name, VENV.resolve().name]
    if VENV.exists() and not VENV.is_symlink():
        shutil.rmtree(REPLACED, ignore_errors=True)
        VENV.rename(REPLACED)
        kept.append(REPLACED)
    link = Path(".venv.new")
    link.unlink(missing_ok=True)
    link.symlink_to(built.name)
    link.replace(VENV)
    for other in Path().glob(NAME_PATTERN):
        if other.name not in kept:
            # Without this file, an environment that is only partly removed is never used.
            (other / COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(other, ignore_errors=True)


def succeeds(command: "list[str]", **environment: str) -> bool:
    """Run a command, let the user see its output, and return whether it succeeded."""
    variables = {**environment, **os.environ}
    return (
        subprocess.call(
            command,
            env=variables,
            # Standard output belongs to the command that make runs next. It may be JSON.
            stdout=sys.stderr,
            # The command inherits the locked file. If only this process is killed, nobody else
            # builds before the command has finished.
            close_fds=False,
        )
        == 0
    )


def pip(built: Path) -> "list[str]":
    """Return the command that runs an environment's pip."""
    return [str(built / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]


def pinned_uv() -> str:
    """Return the entry of uv in the lock. Exit with one line if it has none."""
    entry = re.search(r"^uv==(?:.*\\\n)*.*$", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if entry is None:
        sys.exit(
            f"make: {LOCK} does not list uv, which installs the packages. "
            f"Restore the file: git checkout {LOCK}"
        )
    return entry.group()


def install_with_uv(built: Path) -> bool:
    """Install the lock with the release of uv that it pins; return whether that succeeded."""
    pinned = built / "uv.txt"
    pinned.write_text(pinned_uv(), encoding="utf-8")
    # If uv has no wheel for this platform, building it from source would need Rust.
    arguments = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    # Without bytecode, importing TensorFlow takes 20 s instead of 7 s.
    uv = [str(built / "bin" / "uv"), "pip", "install", "--require-hashes", "--compile-bytecode"]
    # pip trusts the system's certificates. uv does so only with this variable.
    return succeeds(
        [*pip(built), "install", *arguments, "--requirement", str(pinned)]
    ) and succeeds(
        [*uv, "--python", str(built), "--requirement", str(LOCK)], UV_SYSTEM_CERTS="true"
    )


def install_lock(built: Path) -> bool:
    """Create an environment and install the lock by uv or else by pip; return whether it worked."""
    create_empty = [sys.executable, "-m", "venv", "--clear", str(built)]
    if not succeeds(create_empty):
        return False
    if install_with_uv(built):
        return True
    print("make: uv failed, see above. pip installs instead, in several minutes.", file=sys.stderr)
    install = [*pip(built), "install", "--require-hashes", "--requirement", str(LOCK)]
    return succeeds(create_empty) and succeeds(install)


def build() -> None:
    """Build the environment unless it exists, and let `.venv` link to it."""
    built = Path(name_in(Path().resolve()))
    if not (built / COMPLETE).is_file():
        pinned_uv()
        print("Building .venv from requirements.txt: 3 GB, a minute or two.", file=sys.stderr)
        if not install_lock(built):
            sys.exit("make: .venv could not be built, see above. Run make again to try again.")
        (built / COMPLETE).touch()
    link_environment(built)


def lock_of(extra: str) -> Path:
    """Return the path of the lock that lists what an extra needs beyond requirements.txt."""
    return Path("extras", extra, "requirements.txt")


def is_installed(extra: str) -> bool:
    """Return whether the environment has an extra, by the copy of its lock."""
    copy = VENV / extra
    return copy.is_file() and copy.read_bytes() == lock_of(extra).read_bytes()


def install(extra: str) -> None:
    """Install an extra into the environment."""
    arguments = ["install", "--quiet", "--require-hashes", "--requirement", str(lock_of(extra))]
    if not succeeds([*pip(VENV.resolve()), *arguments]):
        sys.exit(f"make: {lock_of(extra)} could not be installed, see above. Run make again.")
    shutil.copyfile(str(lock_of(extra)), str(VENV / extra))


def open_build_lock() -> TextIO:
    """Open the file that a build locks. Exit with one line if this folder is not writable."""
    try:
        file = BUILD_LOCK.open("w", encoding="utf-8")
    except OSError as error:
        sys.exit(
            f"make: .venv has to be built, but this folder is not writable ({error}). "
            "Run make in a copy of the project of your own."
        )
    os.set_inheritable(file.fileno(), True)
    return file


def main(extras: "list[str]") -> None:
    check_python(*sys.version_info[:2])
    if is_complete() and all(map(is_installed, extras)):
        return
    with open_build_lock() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # wait for another make that builds it
        if not is_complete():
            build()
        for extra in extras:
            if not is_installed(extra):
                install(extra)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C without a traceback
    main(sys.argv[1:])
