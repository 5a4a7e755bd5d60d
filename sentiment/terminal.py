"""Text in a terminal: no line breaks inside a word."""

import os
import sys
import textwrap

import click


def shorten(text: str, width: int) -> str:
    """Return a text of at most `width` characters, which ends with an ellipsis if it was cut."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def show(text: str, err: bool = False) -> None:
    """Print lines, to standard error if asked, and break the longer ones between words.

    What goes to a file or a pipe keeps its lines.
    """
    stream = sys.stderr if err else sys.stdout
    click.echo(fit_to_terminal(text) if stream.isatty() else text, err=err)


def fit_to_terminal(text: str) -> str:
    """Break the lines that are longer than the terminal is wide, between words."""
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):  # it is no terminal
        return text
    return wrap_lines(text, width) if width > 0 else text


def wrap_lines(text: str, width: int) -> str:
    """Break the lines that are longer than a width, between words, and keep their indentation."""
    lines: list[str] = []
    for line in text.split("\n"):
        if len(line) <= width:
            lines.append(line)
            continue
        indentation = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=indentation,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)
