"""What all commands share: options, standard output for JSON, text files, and how they end."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from workflow import ending, files

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def command(documentation: str | None) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command whose help is its module's documentation."""
    return click.command(help=documentation, context_settings=SETTINGS)


def option(*names: str, variable: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that an environment variable, and so `make … VARIABLE=…`, sets as well."""
    shown = {"show_envvar": True, "show_default": True}
    return click.option(*names, envvar=variable, **{**shown, **settings})


json_option = option(
    "--json",
    "as_json",
    variable="JSON",
    is_flag=True,
    help="Print JSON on standard output, and all else on standard error.",
)


model_option = option(
    "--model",
    variable="MODEL",
    show_default="the champion",
    help="The model to use, as MLflow names it, such as models:/imdb-sentiment/1.",
)


@contextmanager
def output_kept(kept: bool) -> Iterator[None]:
    """Keep standard output clean: what anything prints in the block goes to standard error.

    That includes libraries and processes that are started in it. With `kept` False, nothing does.
    """
    if not kept:
        yield
        return
    sys.stdout.flush()
    before = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(before, 1)
        os.close(before)


def report(document: Any, text: str, as_json: bool) -> None:
    """Print what a command found: a line of JSON for a script, or a text for a reader."""
    print(json.dumps(document, ensure_ascii=False, allow_nan=False) if as_json else text)


def replace_text(path: Path, text: str) -> None:
    """Write a text file, as `files.replaced` writes a folder, making the folder that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = files.beside(path, "partial")
    partial.write_text(text, encoding="utf-8")
    files.flush(partial)
    partial.replace(path)
    files.flush(path.parent)


def run(name: str, main: click.Command) -> NoReturn:
    """Run a command, which messages call by this name, and end with the status that it returns.

    A failure is one message on standard error and a non-zero status: 2 if the arguments are wrong,
    128 and the number of a signal. A closed standard output (`| head`) ends it without a message.
    """
    ending.quiet_libraries()
    with ending.one_message(name, f"`{name}`"):
        try:
            status = main.main(standalone_mode=False)
            print(end="", flush=True)
        except click.UsageError as error:
            program = error.ctx.command_path if error.ctx else ""
            print(f"{name}: {error.format_message()} See {program} --help.", file=sys.stderr)
            status = error.exit_code
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would complain as it ends
            status = 128 + signal.SIGPIPE
    sys.exit(status)
