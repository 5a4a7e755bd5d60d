"""`make predict`: ask the champion about texts, and which words moved each answer most.

The text is --text, or what comes on standard input, or each text in a column of a CSV file.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

from sentiment.errors import UserError
from workflow import cli
from workflow.ending import escape
from workflow.registry import champion

if TYPE_CHECKING:
    from sentiment.serving.classifier import Sentiment

SHOWN = 60  # characters of a text in the table


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
        return [(sys.stdin.buffer.read() if text is None else os.fsencode(text)).decode()]
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


def answers(model: "Sentiment", texts: list[str], most: int) -> Iterator[dict[str, Any]]:
    """What `--json` prints of each text: the answer, and the `most` words that moved it most."""
    from sentiment.explanation import explain  # imports MLflow, which takes seconds
    from workflow.registry.scoring_server import COLUMN

    if not most:
        table = model.predict(None, pd.DataFrame({COLUMN: texts}))
        for text, label, share in zip(texts, table["label"], table["probability"], strict=True):
            yield {"text": text, "label": label, "probability": float(share), "words": []}
        return
    for text in texts:
        answer = explain(model, text)
        by_effect = sorted(answer.words, key=lambda word: abs(word.log_odds), reverse=True)
        words = [
            {"word": text[word.start : word.end], "log_odds": word.log_odds}
            for word in by_effect[:most]
            if word.log_odds
        ]
        probability = float(answer.probability)
        yield {"text": text, "label": answer.label, "probability": probability, "words": words}


def traced(model: "Sentiment", text: str) -> list[dict[str, Any]]:
    """Each word that the model reads, and its answer to the text cut after it."""
    from sentiment.explanation import trace

    steps = trace(model, text)
    return [
        {"word": text[step.start : step.end], "probability": step.probability} for step in steps
    ]


def as_table(rows: Iterable[dict[str, Any]]) -> str:
    """A line a text, with its words and what each did to the log-odds of positive."""
    lines = [f"{'label':9}{'probability':>11}  {'text':{SHOWN}}  words that moved it most"]
    for row in rows:
        words = escape(", ".join("{word} {log_odds:+.2f}".format(**word) for word in row["words"]))
        text = escape(" ".join(row["text"].split()))
        shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
        answer = f"{row['label']:9}{row['probability']:11.4f}"
        lines.append(f"{answer}  {shown:{SHOWN}}  {words}".rstrip())
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
    "--trace", variable="TRACE", is_flag=True, help="With --json: the answer after each word."
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
    text: str | None, file: Path | None, trace: bool, words: int, model: str | None, as_json: bool
) -> None:
    if trace and not as_json:
        raise click.UsageError("--trace (TRACE) is for --json (JSON).")
    with cli.output_kept(as_json):
        texts = read_texts(text, file)
        loaded = champion.load(champion.uri(model))
    documents = answers(loaded, texts, words)
    if as_json:
        for answer in documents:
            steps = {"trace": traced(loaded, answer["text"])} if trace else {}
            cli.print_json({**answer, **steps})
        return
    print(as_table(documents))
    if words:
        print("\nA word's number: by how much the log-odds of positive fall without it.")


if __name__ == "__main__":
    cli.run("make predict", main)
