"""A stage or command exits with its status and at most one message, and on a signal at once."""

import importlib
import os
import re
import signal
import subprocess
import sys

import pytest

from tests import project
from tests.project import ROOT
from workflow.commands import TERMINATION_SIGNALS

pytestmark = pytest.mark.slow

CORE = [
    *(f"tools.{path.stem}" for path in sorted((ROOT / "tools").glob("[!_]*.py"))),
    "benchmarks.run",
]
CORE.remove("tools.venv")  # runs before click is installed
EXTRAS = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in sorted((ROOT / "extras").glob("*/*.py"))
    if re.search(r"^@(commands\.)?command\(", path.read_text(encoding="utf-8"), re.MULTILINE)
]
HELP = """
import os, runpy, sys
import pandas, pydantic, workflow.commands
for module in sys.argv[1:]:
    if os.fork():
        os.wait()
        continue
    sys.argv[1:] = ["--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        assert not stop.code
    heavy = {"tensorflow", "keras", "mlflow", "streamlit"} & set(sys.modules)
    print(heavy, end="\\f", flush=True)
    os._exit(0)
"""


def run_command(
    body: str, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command `make seeds` with options `--count` and `--json` and this body."""
    indented = "".join(f"    {line}\n" for line in body.splitlines())
    code = f"""
import os
from sentiment.errors import UserError
from workflow import commands
@commands.command('About seeds.')
@commands.option('--count', envvar='N', type=int)
@commands.json_option
def main(count, as_json):
{indented}
commands.run_command('make seeds', main)
"""
    return project.run_code(code, *arguments, **environment)


def test_help_of_each_command_imports_nothing_heavy() -> None:
    modules = [*CORE, *EXTRAS]
    done = project.run_code(HELP, *modules)
    assert done.stderr == ""
    for module, text in zip(modules, done.stdout.removesuffix("\f").split("\f"), strict=True):
        assert text.startswith(f"Usage: python -m {module} [OPTIONS]\n\n  `make ")
        assert text.endswith("\nset()")


def test_documentation_lists_the_options_of_the_core_commands() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("## For scripts")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    targets = {"run": "bench", "params_page": "docs"}
    actual = {}
    for module in CORE:
        options = importlib.import_module(module).main.params
        name = module.rpartition(".")[2]
        listed = ", ".join(f"`{option.opts[0]}` (`{option.envvar}`)" for option in options)
        if listed:
            actual[targets.get(name, name)] = listed
    assert documented == actual


@pytest.mark.parametrize(
    ("body", "arguments", "variable", "status", "printed"),
    [
        (
            "print('ran')",
            ["--counts=3"],
            "",
            2,
            r"make seeds: No such option '--counts'.* --help\.\n",
        ),
        ("print(count)", ["--count=3"], "4", 0, "3\n"),  # an option overrides its variable
        ("return 3", [], "", 3, ""),
        ("raise UserError('data/ is empty')", [], "", 1, "make seeds: data/ is empty\n"),
        ("1 / 0", [], "", 1, r"Traceback (?s:.*)ZeroDivisionError: division by zero\n"),
    ],
)
def test_command_exits_with_its_status_and_one_message_for_a_failure(
    body: str, arguments: list[str], variable: str, status: int, printed: str
) -> None:
    done = run_command(body, *arguments, N=variable)
    assert done.returncode == status
    assert re.fullmatch(printed, done.stderr if status else done.stdout)
    assert not (done.stdout if status else done.stderr)


def test_standard_output_has_only_the_json() -> None:
    body = """
with commands.stdout_to_stderr(as_json):
    print("by Python")
    os.system("echo by a child")
commands.print_result({"count": 3}, "three", as_json)
"""
    done = run_command(body, JSON="1")
    assert done.stdout == '{"count": 3}\n'
    assert done.stderr == "by Python\nby a child\n"


def test_text_cannot_control_the_terminal_but_has_lines_and_columns() -> None:
    done = run_command(r"commands.print_result({}, 'a\x1b[2J\n\tb', as_json)")
    assert done.stdout == "a\N{REPLACEMENT CHARACTER}[2J\n\tb\n"


def test_closed_standard_output_stops_a_command_without_a_message() -> None:
    ours, its = os.pipe()
    os.close(ours)
    code = """
from workflow import commands
@commands.command('')
def main():
    print(1)
commands.run_command('make seeds', main)
"""
    command = [sys.executable, "-E", "-c", code]  # buffered, as a user's
    done = subprocess.run(command, stdout=its, stderr=subprocess.PIPE, cwd=ROOT, check=False)
    os.close(its)
    assert (done.stderr, done.returncode) == (b"", 128 + signal.SIGPIPE)


@pytest.mark.parametrize("number", TERMINATION_SIGNALS)
def test_signal_stops_a_stage_at_once_after_its_cleanup(number: signal.Signals) -> None:
    done = project.run_code(f"""
import os
from workflow.commands import run_stage
def main():
    try:
        os.kill(os.getpid(), {int(number)})
        print("continued")
    finally:
        print("cleaned up")
run_stage("pad", main)
""")
    assert done.stdout == "cleaned up\n"
    assert done.stderr == f"pad: interrupted by {number.name}\n"
    assert done.returncode == 128 + number


def test_second_signal_does_not_cut_the_cleanup_short() -> None:
    done = project.run_code("""
import os, signal
from workflow.commands import run_stage
def main():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        print("cleaned up", flush=True)
run_stage("pad", main)
""")
    assert done.stdout == "cleaned up\n"
    assert done.returncode == 128 + signal.SIGTERM


def test_ignored_signal_stays_ignored() -> None:
    done = project.run_code("""
import os, signal
from workflow.commands import run_stage
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
run_stage("pad", lambda: os.kill(os.getpid(), signal.SIGHUP))
""")
    assert done.returncode == 0
