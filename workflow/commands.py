"""Options, signals and exit statuses of all stages and commands."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from workflow.terminal import replace_control_characters, user_message

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
TERMINATION_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(SystemExit):
    """A signal interrupts the process, with the exit status that a shell gives."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.number).name}"


def _raise_interrupted(number: int, _: object) -> None:
    error = sys.exception()
    while error is not None:
        if isinstance(error, Interrupted):
            return  # a second signal must not cut short what the first one led to
        error = error.__context__
    raise Interrupted(number)


def _interrupt_on_signals() -> None:
    """Let termination signals raise `Interrupted` in the main thread."""
    for number in TERMINATION_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP on purpose
            signal.signal(number, _raise_interrupted)


@contextmanager
def exit_with_message(name: str, retry_command: str) -> Iterator[None]:
    """Exit with one message and a non-zero status if the block fails.

    Args:
        name: the stage or command, with which the message starts.
        retry_command: what to run again once the problem is fixed.
    """
    _interrupt_on_signals()
    try:
        yield
    except Interrupted as interrupted:
        print(f"{name}: {interrupted}", file=sys.stderr)
        raise
    except Exception as error:
        message = user_message(error, retry_command)
        if message is None:
            raise
        sys.exit(f"{name}: {message}")


def quiet_libraries() -> None:
    """Turn off the messages of TensorFlow and MLflow, and MLflow's telemetry."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def run_stage(name: str, main: Callable[[], None]) -> None:
    """Run a stage's `main`. If it fails, exit with one message and a non-zero status.

    DVC keeps the outputs of the last successful run (`persist: true` in dvc.yaml).
    """
    with exit_with_message(name, "`dvc repro`"):
        quiet_libraries()
        main()


def run_command(name: str, main: click.Command) -> NoReturn:
    """Run a command and exit with the status that it returns.

    On failure, print one message to standard error and exit with a non-zero status: 2 for wrong
    arguments, 128 + n for signal n. If standard output is closed (`| head`), exit without a
    message.
    """
    quiet_libraries()
    with exit_with_message(name, f"`{name}`"):
        try:
            status = main.main(standalone_mode=False)
            sys.stdout.flush()
        except click.UsageError as error:
            program = error.ctx.command_path if error.ctx else ""
            print(f"{name}: {error.format_message()} See {program} --help.", file=sys.stderr)
            status = error.exit_code
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python would print an error at exit
            status = 128 + signal.SIGPIPE
    sys.exit(status)


def command(documentation: str | None) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that turns a function into a command with this help text."""
    return click.command(help=documentation, context_settings=CONTEXT_SETTINGS)


def option(*names: str, envvar: str, **arguments: Any) -> Callable[[Any], Any]:
    """Declare an option that an environment variable, and so `make … VARIABLE=…`, also sets."""
    shown = {"show_envvar": True, "show_default": True}
    return click.option(*names, envvar=envvar, **{**shown, **arguments})


json_option = option(
    "--json",
    "as_json",
    envvar="JSON",
    is_flag=True,
    help="Print JSON on standard output, and everything else on standard error.",
)

model_option = option(
    "--model",
    "model_uri",
    envvar="MODEL",
    show_default="the champion",
    help="The model version to use, such as models:/imdb-sentiment/1.",
)


def port_option(envvar: str, default: int) -> Callable[[Any], Any]:
    """Declare the option `--port` of a command that serves."""
    kind = click.IntRange(1, 65535)
    return option("--port", envvar=envvar, type=kind, default=default, help="Listen on this port.")


@contextmanager
def stdout_to_stderr(enabled: bool) -> Iterator[None]:
    """Send all standard output, also of libraries and child processes, to standard error."""
    if not enabled:
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


def print_result(document: Any, text: str, as_json: bool) -> None:
    """Print the result of a command: one line of JSON for a script, or a text for a reader.

    Control characters of the text are replaced.
    """
    if as_json:
        print(json.dumps(document, ensure_ascii=False, allow_nan=False))
    else:
        print(replace_control_characters(text))
