"""Build the environment that `.venv` links to from requirements.txt.

`tools/venv.py sweep` also installs extras/sweep/requirements.txt into it.

Runs on whatever Python 3 is there, an unsuitable one too: standard library and old syntax only.
An environment is a folder `.venv-<digest>` of what it is built from and where: a changed lock,
another Python or a moved folder (scripts hold absolute paths) give another one. `.venv` links to it
once it is complete; until then, the one before works.

uv installs the packages, several times as fast as pip, which does it where uv fails.
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

LOCK = Path("requirements.txt")
VENV = Path(".venv")
BUILT = ".venv-" + 12 * "[0-9a-f]"  # pattern of their names
FORMER = ".venv-" + 12 * "0"  # the name that a folder `.venv` gets when a link takes its place
COMPLETE = "complete"  # the file that is written last


def check_python(major: int, minor: int) -> None:
    """End with one line unless the version is suitable."""
    if not (3, 11) <= (major, minor) <= (3, 13):
        sys.exit(
            f"make: Python {major}.{minor} is not suitable, 3.11 to 3.13 are. "
            "Install one, or name it: make PYTHON=/path/to/python3.12 ..."
        )


def name_in(folder: Path) -> str:
    """The name of the environment that this lock and this Python give in a folder."""
    source = LOCK.read_bytes() + f"{sys.version}\n{folder}".encode()
    return f".venv-{hashlib.sha256(source).hexdigest()[:12]}"


def is_complete() -> bool:
    """Whether `.venv` is that environment, here or where it links to, built to the end."""
    built = VENV.resolve()
    return built.name == name_in(built.parent) and (built / COMPLETE).is_file()


def use(built: Path) -> None:
    """Let `.venv` link to an environment, and remove all others but the one before."""
    kept = [built.name, VENV.resolve().name]  # a training or a server may still run in that one
    if VENV.exists() and not VENV.is_symlink():
        shutil.rmtree(FORMER, ignore_errors=True)
        VENV.rename(FORMER)
        kept.append(FORMER)
    link = Path(".venv.new")
    link.unlink(missing_ok=True)
    link.symlink_to(built.name)
    link.replace(VENV)
    for other in Path().glob(BUILT):
        if other.name not in kept:
            (other / COMPLETE).unlink(missing_ok=True)  # half removed, it is never used
            shutil.rmtree(other, ignore_errors=True)


def succeeds(command: "list[str]", **environment: str) -> bool:
    """Run a command whose output the user sees; whether it succeeded."""
    # standard output is that of the command which make runs next, and may be JSON
    variables = {**environment, **os.environ}
    return subprocess.call(command, env=variables, stdout=sys.stderr) == 0


def pip(built: Path) -> "list[str]":
    """The command that runs an environment's pip."""
    return [str(built / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]


def uv_installs(built: Path) -> bool:
    """Install the lock with its own release of uv; whether that succeeded."""
    pinned = built / "uv.txt"
    entry = re.findall(r"^uv==(?:.*\\\n)*.*$", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    pinned.write_text("".join(entry), encoding="utf-8")
    # where uv has no wheel, building it from source would need Rust
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    # without bytecode TensorFlow's import takes 20 s instead of 7
    uv = [str(built / "bin" / "uv"), "pip", "install", "--require-hashes", "--compile-bytecode"]
    # pip trusts the system's certificates, uv only if it is told
    return succeeds([*pip(built), "install", *options, "--requirement", str(pinned)]) and succeeds(
        [*uv, "--python", str(built), "--requirement", str(LOCK)], UV_SYSTEM_CERTS="true"
    )


def install_lock(built: Path) -> bool:
    """Make an environment of the lock by uv or else, in an empty one, by pip; whether it worked."""
    empty = [sys.executable, "-m", "venv", "--clear", str(built)]
    if not succeeds(empty):
        return False
    if uv_installs(built):
        return True
    print(
        "make: uv could not install it, see above. pip does, in several minutes.", file=sys.stderr
    )
    install = [*pip(built), "install", "--require-hashes", "--requirement", str(LOCK)]
    return succeeds(empty) and succeeds(install)


def build() -> None:
    """Build the environment unless it is there, and use it."""
    built = Path(name_in(Path().resolve()))
    if not (built / COMPLETE).is_file():
        print("Building .venv from requirements.txt: 3 GB, a minute or two.", file=sys.stderr)
        if not install_lock(built):
            sys.exit("make: .venv could not be built, see above. Run make again to try again.")
        (built / COMPLETE).touch()
    use(built)


def lock_of(extra: str) -> Path:
    """The lock of what a capability needs beside requirements.txt."""
    return Path("extras", extra, "requirements.txt")


def has(extra: str) -> bool:
    """Whether the environment has an extra, by the copy of its lock."""
    there = VENV / extra
    return there.is_file() and there.read_bytes() == lock_of(extra).read_bytes()


def install(extra: str) -> None:
    """Install an extra into the environment."""
    options = ["install", "--quiet", "--require-hashes", "--requirement", str(lock_of(extra))]
    if not succeeds([*pip(VENV.resolve()), *options]):
        sys.exit(f"make: {lock_of(extra)} could not be installed, see above. Run make again.")
    shutil.copyfile(str(lock_of(extra)), str(VENV / extra))


def main(extras: "list[str]") -> None:
    check_python(*sys.version_info[:2])
    if is_complete() and all(map(has, extras)):
        return
    with Path(".venv.lock").open("w", encoding="utf-8") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # another make may be building it
        if not is_complete():
            build()
        for extra in extras:
            if not has(extra):
                install(extra)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C without a traceback
    main(sys.argv[1:])
