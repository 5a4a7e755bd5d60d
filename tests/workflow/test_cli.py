"""A command ends with one message and its status, and has its help at once."""

import importlib
import os
import re
import signal
import subprocess
import sys

import pytest

from tests import project
from tests.project import ROOT

CORE = [
    *(f"tools.{path.stem}" for path in sorted((ROOT / "tools").glob("[!_]*.py"))),
    "benchmarks.run",
    "benchmarks.faults",
]
CORE.remove("tools.venv")  # which needs no package
OPTIONAL = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
    for path in sorted((ROOT / "extras").glob("*/*.py"))
    if "@cli.command(" in path.read_text(encoding="utf-8")
]
COMMANDS = [*CORE, *OPTIONAL]
HELP = """
import os, runpy, sys
import pandas, pydantic, workflow.cli
for module in sys.argv[1:]:
    if os.fork():
        os.wait()
        continue
    sys.argv[1:] = ["--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code
    heavy = {"tensorflow", "keras", "mlflow", "streamlit"} & set(sys.modules)
    print(heavy, end="\\f", flush=True)
    os._exit(0)
"""


def run_code(code: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What a command prints whose body this code is, with options `--count` and `--json`."""
    body = "".join(f"    {line}\n" for line in code.splitlines())
    options = "@cli.option('--count', variable='N', type=int)\n@cli.json_option\n"
    defined = f"@cli.command('About seeds.')\n{options}def main(count, as_json):\n{body}"
    imports = "import os, time\nfrom sentiment.errors import UserError\nfrom workflow import cli\n"
    started = f"{imports}\n{defined}\ncli.run('make seeds', main)"
    return project.run_code(started, *arguments, **environment)


def test_help_of_each_command_imports_nothing_heavy() -> None:
    done = project.run_code(HELP, *COMMANDS)
    assert done.stderr == ""
    for module, text in zip(COMMANDS, done.stdout.removesuffix("\f").split("\f"), strict=True):
        assert text.startswith(f"Usage: python -m {module} [OPTIONS]\n\n  `make ")
        assert text.endswith("\nset()")


def test_the_documentation_lists_the_options_of_the_core_s_commands() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("## For scripts")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    actual = {}
    for module in CORE:
        options = importlib.import_module(module).main.params
        name = module.rpartition(".")[2].replace("run", "bench")
        actual[name] = ", ".join(f"`{option.opts[0]}` (`{option.envvar}`)" for option in options)
    assert documented == {name: options for name, options in actual.items() if options}


@pytest.mark.parametrize(
    ("code", "arguments", "variable", "status", "printed"),
    [
        ("", ["--counts=3"], "", 2, r"make seeds: No such option '--counts'.* --help\.\n"),
        ("print(count)", ["--count=3"], "4", 0, "3\n"),  # overrules its variable
        ("return 3", [], "", 3, ""),
        ("raise UserError('data/ is empty')", [], "", 1, "make seeds: data/ is empty\n"),
        ("1 / 0", [], "", 1, r"Traceback (?s:.*)ZeroDivisionError: division by zero\n"),
    ],
)
def test_a_command_ends_with_its_status_and_a_failure_with_one_message(
    code: str, arguments: list[str], variable: str, status: int, printed: str
) -> None:
    done = run_code(code or "print('ran')", *arguments, N=variable)
    assert done.returncode == status
    assert re.fullmatch(printed, done.stderr if status else done.stdout)
    assert not (done.stdout if status else done.stderr)


def test_json_is_all_that_is_on_standard_output() -> None:
    code = """
with cli.output_kept(as_json):
    print("by Python")
    os.system("echo by a child")
cli.report({"count": 3}, "three", as_json)
"""
    done = run_code(code, JSON="1")
    assert done.stdout == '{"count": 3}\n'
    assert done.stderr == "by Python\nby a child\n"


def test_a_closed_output_ends_a_command_without_a_message() -> None:
    ours, its = os.pipe()
    os.close(ours)
    main = "@cli.command('')\ndef main():\n    print(1)"
    code = f"from workflow import cli\n{main}\ncli.run('make seeds', main)"
    command, pipe = [sys.executable, "-E", "-c", code], subprocess.PIPE  # buffered, as a user's
    done = subprocess.run(command, stdout=its, stderr=pipe, cwd=ROOT, check=False)
    os.close(its)
    assert (done.stderr, done.returncode) == (b"", 128 + signal.SIGPIPE)
