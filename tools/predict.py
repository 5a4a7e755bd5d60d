"""`make predict`: ask the champion about texts, and which words moved each answer most.

The text is --text, or what comes on standard input, or each text in a column of a CSV file.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import pandas as pd

from sentiment.errors import UserError
from workflow import cli
from workflow.ending import escape
from workflow.registry import champion

if TYPE_CHECKING:
    from sentiment.explanation import Contribution, Explanation, Step
    from sentiment.serving.classifier import Sentiment

SHOWN = 60  # characters of a text in the table


class Answer(NamedTuple):
    """What is printed of a text; `trace` only where it is asked for."""

    text: str
    label: str
    probability: float
    words: list[tuple[str, float]]
    trace: "list[Step] | None" = None


def read_texts(text: str | None, file: Path | None) -> list[str]:
    """The texts to ask about.

    Raises:
        UserError: there is none, or the file is no CSV in UTF-8 with a column `text`.
        UsageError: both are given.
    """
    if file is not None and text is not None:
        raise click.UsageError("Give a text or a file, not both: --text (TEXT) or --file (FILE).")
    if file is not None:
        return read_csv(file)
    if text is None and (sys.stdin is None or sys.stdin.isatty()):
        raise UserError('Give a text: make predict TEXT="A fine film.", or FILE=reviews.csv')
    try:
        given = sys.stdin.buffer.read() if text is None else os.fsencode(text)
        return [given.decode()]
    except UnicodeDecodeError as error:
        raise UserError(f"The text is not UTF-8: {error}") from None


def read_csv(file: Path) -> list[str]:
    """The column `text` of a CSV file; raises UserError if it has none or is no such file."""
    from workflow.registry.scoring_server import COLUMN, SHIFTED, is_shifted

    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"There is no file {file}.") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not a CSV file in UTF-8: {error}") from None
    if COLUMN not in table:
        raise UserError(f"{file} has no column {COLUMN!r}, but {', '.join(table.columns)}.")
    if table.empty:
        raise UserError(f"{file} has no row.")
    if is_shifted(table):
        raise UserError(f"A row of {file} has {SHIFTED}")
    return list(table[COLUMN])


def answer(model: "Sentiment", text: str, most: int) -> Answer:
    """Ask the model about a text; name the `most` words that moved its answer most."""
    from sentiment.explanation import explain  # imports MLflow, which takes seconds

    explanation = explain(model, text)
    words = strongest(explanation, most)
    named = [(text[word.start : word.end], word.log_odds) for word in words]
    return Answer(text, explanation.label, explanation.probability, named)


def strongest(explanation: "Explanation", most: int) -> "list[Contribution]":
    """The words with the greatest effect, whichever way, the strongest first."""
    by_effect = sorted(explanation.words, key=lambda word: abs(word.log_odds), reverse=True)
    return [word for word in by_effect[:most] if word.log_odds]


def answers(model: "Sentiment", texts: list[str], most: int) -> Iterator[Answer]:
    """Answers to all texts; without words to name they are asked about together."""
    from workflow.registry.scoring_server import COLUMN

    if most:
        yield from (answer(model, text, most) for text in texts)
        return
    table = model.predict(None, pd.DataFrame({COLUMN: texts}))
    for text, label, probability in zip(texts, table["label"], table["probability"], strict=True):
        yield Answer(text, label, float(probability), [])


def as_document(answer: Answer) -> dict[str, Any]:
    """An answer as `--json` prints it, each word by name."""
    words = [{"word": word, "log_odds": effect} for word, effect in answer.words]
    document = {**answer._asdict(), "words": words}
    if answer.trace is None:
        del document["trace"]
        return document
    return {**document, "trace": [as_step(answer.text, step) for step in answer.trace]}


def as_step(text: str, step: "Step") -> dict[str, Any]:
    """A word that the model reads, and its answer to the text cut after it."""
    return {"word": text[step.start : step.end], "probability": step.probability}


def as_table(rows: list[Answer]) -> str:
    """A line a text, with its words and what each did to the log-odds of positive."""
    lines = [f"{'label':9}{'probability':>11}  {'text':{SHOWN}}  words that moved it most"]
    for row in rows:
        words = escape(", ".join(f"{word} {effect:+.2f}" for word, effect in row.words))
        text = escape(" ".join(row.text.split()))
        shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
        lines.append(f"{row.label:9}{row.probability:11.4f}  {shown:{SHOWN}}  {words}".rstrip())
    return "\n".join(lines)


@cli.command(__doc__)
@cli.option("--text", variable="TEXT", help="The text to ask about.")
@cli.option(
    "--file",
    variable="FILE",
    type=click.Path(path_type=Path),
    help="A CSV file in UTF-8 whose column `text` is asked about.",
)
@cli.option(
    "--trace",
    variable="TRACE",
    is_flag=True,
    help="With --json: the answer after each word.",
)
@cli.option(
    "--words",
    variable="WORDS",
    type=click.IntRange(min=0),
    default=5,
    help="How many words to name that moved an answer most; 0 saves the time to find them.",
)
@cli.model_option
@cli.json_option
def main(
    text: str | None,
    file: Path | None,
    trace: bool,
    words: int,
    model: str | None,
    as_json: bool,
) -> None:
    if trace and not as_json:
        raise click.UsageError("--trace (TRACE) is for --json (JSON).")
    with cli.output_kept(as_json):
        texts = read_texts(text, file)
        loaded = champion.load(champion.uri(model))
    if as_json:
        from sentiment import explanation

        for answered in answers(loaded, texts, words):
            steps = explanation.trace(loaded, answered.text) if trace else None
            cli.print_json(as_document(answered._replace(trace=steps)))
        return
    print(as_table(list(answers(loaded, texts, words))))
    if words:
        print("\nA word's number: by how much the log-odds of positive fall without it.")


if __name__ == "__main__":
    cli.run("make predict", main)
