"""Build `.venv` from requirements.txt, and never take a half-built one for a good one.

Runs on whatever Python 3 is there, an unsuitable one too: standard library and old syntax only.
The stamp in `.venv` is written last. It names what the environment was built from and where:
a changed lock, another Python or a moved folder (scripts hold absolute paths) build it anew.

uv installs the packages, several times as fast as pip, which does it where uv cannot run or fails.
"""

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

LOCK = Path("requirements.txt")
VENV = Path(".venv")
STAMP = VENV / "complete"
PYTHON = str(VENV / "bin" / "python")
PIP = [PYTHON, "-m", "pip", "--disable-pip-version-check"]
# uv reads none of pip's settings, and a mirror, a proxy or a certificate may be all that answers:
# pip's name, uv's variable, and what separates several values in it
SETTINGS = [
    ("index-url", "UV_DEFAULT_INDEX", ""),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("cert", "SSL_CERT_FILE", ""),
    ("proxy", "ALL_PROXY", ""),
]
TRUE = ("1", "true", "yes", "on")  # what pip takes for it


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


def succeeds(command: "list[str]", **environment: str) -> bool:
    """Run a command whose output the user sees; whether it could be run, and succeeded."""
    try:
        variables = {**os.environ, **environment}
        # standard output is that of the command which make runs next, and may be JSON
        return subprocess.call(command, env=variables, stdout=sys.stderr) == 0
    except OSError as error:
        print(f"make: {error}", file=sys.stderr)
        return False


def make_empty() -> bool:
    """Make `.venv` with nothing but pip in it; whether that succeeded."""
    clear()
    # in an activated environment this very Python is one that was just cleared away
    return succeeds([getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(VENV)])


def uv_installs() -> bool:
    """Install the lock with its own release of uv; whether that succeeded."""
    pinned = VENV / "uv.txt"
    pinned.write_text(lock_entry("uv"), encoding="utf-8")
    # where uv has no wheel, building it from source would need Rust
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    if not succeeds([*PIP, "install", *options, "--requirement", str(pinned)]):
        return False
    settings = pip_settings()
    command = [str(VENV / "bin" / "uv"), "pip", "install", "--python", PYTHON, "--require-hashes"]
    # without bytecode TensorFlow's import takes 20 s instead of 7
    command += ["--compile-bytecode", "--requirement", str(LOCK)]
    command += ["--no-index"] if settings.get("no-index", "").lower() in TRUE else []
    return succeeds(command, **uv_environment(settings))


def lock_entry(name: str) -> str:
    """The lock's lines of a package: its pin and its hashes."""
    lock = LOCK.read_text(encoding="utf-8")
    found = re.search(rf"^{name}==(?:.*\\\n)*.*$", lock, re.MULTILINE)
    return found.group() if found else ""


def pip_settings() -> "dict[str, str]":
    """The settings of pip in its files and by PIP_*, by option."""
    command = [*PIP, "config", "list"]
    listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    settings = dict(line.split("=", 1) for line in listed.stdout.splitlines() if "=" in line)
    return {
        key.partition(section)[2]: str(ast.literal_eval(value))
        for section in ("global.", "install.", ":env:.")  # the later one wins
        for key, value in settings.items()
        if key.startswith(section)
    }


def uv_environment(pip: "dict[str, str]") -> "dict[str, str]":
    """pip's settings as uv's variables; those that the user has set stay."""
    variables = {
        variable: separator.join(pip[option].split()) if separator else pip[option]
        for option, variable, separator in SETTINGS
        if pip.get(option)
    }
    # as pip does, take what fits from any index: the lock has the hash of every file
    variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in variables.items() if name not in os.environ}


def pip_installs() -> bool:
    """Install the lock with pip, into an environment where uv left nothing; whether it worked."""
    print(
        "make: uv could not install it, see above. pip does, in several minutes.", file=sys.stderr
    )
    install = [*PIP, "install", "--require-hashes", "--requirement", str(LOCK)]
    return make_empty() and succeeds(install)


def build() -> None:
    """Build `.venv` from nothing; end with one line where that fails."""
    print("Building .venv from requirements.txt: 3 GB, a minute or two.", file=sys.stderr)
    if not (make_empty() and (uv_installs() or pip_installs())):
        sys.exit("make: .venv could not be built, see above. Run make again to try again.")
    STAMP.write_text(expected_stamp(), encoding="utf-8")


def main() -> None:
    check_python(*sys.version_info[:2])
    check_venv_module()
    try:
        if not is_complete():
            build()
    except KeyboardInterrupt:
        sys.exit("make: interrupted, .venv is not built. Run make again to build it.")


if __name__ == "__main__":
    main()
