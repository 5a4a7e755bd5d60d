"""A command ends with one message and its status, and has its help at once."""

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests import project
from tests.project import ROOT
from workflow import cli
from workflow.signals import ENDING

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


def click_command(module: str) -> click.Command:
    """The command of `python -m <module>`."""
    place = ROOT / module.replace(".", "/")
    command: click.Command = importlib.import_module(
        f"{module}.__main__" if place.is_dir() else module
    ).main
    return command


HEAVY = {"tensorflow", "keras", "mlflow", "streamlit"}
START = """
import os, signal, sys, time
from sentiment.errors import UserError
from workflow import cli
"""


def run_code(code: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What a command prints whose body this code is, with options `--count` and `--json`."""
    body = "".join(f"    {line}\n" for line in code.splitlines())
    options = "@cli.option('--count', variable='N', type=int)\n@cli.json_option\n"
    defined = f"@cli.command('About seeds.')\n{options}def main(count, as_json):\n{body}"
    started = f"{START}\n{defined}\ncli.run('make seeds', main)"
    return project.run_code(started, *arguments, **environment)


@pytest.mark.parametrize("module", COMMANDS)
def test_help_names_every_option_and_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import runpy, sys\nsys.argv[1:] = ['--help']\n"
        f"try:\n    runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
        f"except SystemExit as end:\n    assert not end.code\n"
        f"print({HEAVY!r} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith(f"Usage: python -m {module} [OPTIONS]\n\n  `make ")
    assert done.stdout.endswith("set()\n")
    assert done.stderr == ""


@pytest.mark.parametrize("module", COMMANDS)
def test_every_option_has_its_help_and_its_variable(module: str) -> None:
    for option in click_command(module).params:
        assert isinstance(option, click.Option)
        assert (option.help or "").endswith(".")
        assert str(option.envvar).isupper()


def test_the_documentation_lists_the_options_of_the_core_s_commands() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    section = page.partition("## For scripts")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    actual = {}
    for module in CORE:
        options = click_command(module).params
        name = module.rpartition(".")[2].replace("run", "bench")
        actual[name] = ", ".join(f"`{each.opts[0]}` (`{each.envvar}`)" for each in options)
    assert documented == {name: options for name, options in actual.items() if options}


def test_a_wrong_option_is_one_line_and_status_2() -> None:
    done = run_code("print('ran')", "--counts=3")
    assert done.stdout == ""
    assert done.stderr.startswith("make seeds: No such option '--counts'")
    assert done.stderr.endswith(" --help.\n")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 2


def test_a_wrong_variable_is_named() -> None:
    done = run_code("print('ran')", N="many")
    assert "'--count' (env var: 'N'): 'many' is not a valid integer" in done.stderr
    assert done.returncode == 2


def test_an_option_overrules_its_variable() -> None:
    assert run_code("print(count)", "--count=3", N="4").stdout == "3\n"
    assert run_code("print(count)", N="4").stdout == "4\n"


@pytest.mark.parametrize("given", ["--json", "JSON"])
def test_json_is_all_that_is_on_standard_output(given: str) -> None:
    code = """
with cli.output_kept(as_json):
    print("by Python")
    os.system("echo by a child")
cli.report({"count": 3}, "three", as_json)
"""
    done = run_code(code, "--json") if given == "--json" else run_code(code, JSON="1")
    assert done.stdout == '{"count": 3}\n'
    assert done.stderr == "by Python\nby a child\n"
    plain = run_code(code, JSON="0").stdout
    assert sorted(plain.splitlines()) == ["by Python", "by a child", "three"]


def test_a_failure_is_one_message_that_names_the_command() -> None:
    done = run_code("raise UserError('data/ is empty')")
    assert done.stderr == "make seeds: data/ is empty\n"
    assert done.returncode == 1
    done = run_code("open('/nowhere/typo.csv')")
    assert done.stderr.startswith("make seeds: /nowhere/typo.csv: No such file or directory.")
    assert "run `make seeds` again" in done.stderr


def test_a_bug_keeps_its_traceback() -> None:
    done = run_code("1 / 0")
    assert "ZeroDivisionError" in done.stderr
    assert done.returncode == 1


def test_a_command_ends_with_the_status_of_what_it_ran() -> None:
    assert run_code("return 3").returncode == 3


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_a_command_with_one_message_and_through_its_clean_up(
    number: signal.Signals,
) -> None:
    done = run_code(f"""
try:
    os.kill(os.getpid(), {int(number)})
    time.sleep(10)
finally:
    print("cleaned up")
""")
    assert done.stdout == "cleaned up\n"
    assert done.stderr == f"make seeds: interrupted by {number.name}\n"
    assert done.returncode == 128 + number


@pytest.mark.parametrize("flush", [True, False])
def test_a_closed_output_ends_a_command_without_a_message(flush: bool, tmp_path: Path) -> None:
    ours, its = os.pipe()
    os.close(ours)
    main = f"@cli.command('')\ndef main():\n    print(1, flush={flush})"
    code = f"from workflow import cli\n{main}\ncli.run('make seeds', main)"
    with (tmp_path / "errors").open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=its,
            stderr=errors,
            cwd=ROOT,
            check=False,
        )
    os.close(its)
    assert (tmp_path / "errors").read_text(encoding="utf-8") == ""
    assert done.returncode == 128 + signal.SIGPIPE


def test_text_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "page.html"
    cli.replace_text(path, "old")
    cli.replace_text(path, "new · ü")
    assert path.read_text(encoding="utf-8") == "new · ü"
    assert list(path.parent.iterdir()) == [path]


def test_text_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    cli.replace_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        cli.replace_text(path, "\ud800")
    assert path.read_text(encoding="utf-8") == "old"
