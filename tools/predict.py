"""`make predict`: ask the champion about texts, and which words moved each answer most.

The text is TEXT, or what comes on standard input; or a CSV file's column `text` is asked about.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sentiment.errors import UserError
from sentiment.params import load_params
from sentiment.process import run_command
from sentiment.registry import champion
from sentiment.serving.classifier import Contribution, Explanation, Sentiment
from sentiment.serving.scoring_server import COLUMN, SHIFTED, is_shifted

SHOWN = 60  # characters of a text in the table


class Answer(NamedTuple):
    """What is printed of a text."""

    text: str
    label: str
    probability: float
    words: list[tuple[str, float]]


def read_texts(text: str | None, file: Path | None) -> list[str]:
    """The texts to ask about.

    Raises:
        UserError: there is none, or the file is no CSV in UTF-8 with a column `text`.
    """
    if file is not None and text is not None:
        raise UserError("Give TEXT or FILE, not both.")
    if file is not None:
        return read_csv(file)
    if text is None and sys.stdin.isatty():
        raise UserError('Give a text: make predict TEXT="A fine film.", or FILE=reviews.csv')
    try:
        return [text if text is not None else sys.stdin.buffer.read().decode()]
    except UnicodeDecodeError as error:
        raise UserError(f"The text on standard input is not UTF-8: {error}") from None


def read_csv(file: Path) -> list[str]:
    """The column `text` of a CSV file; raises UserError if it has none or is no such file."""
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not a CSV file in UTF-8: {error}") from None
    if COLUMN not in table:
        raise UserError(f"{file} has no column {COLUMN!r}, but {', '.join(table.columns)}.")
    if table.empty:
        raise UserError(f"{file} has no row.")
    if is_shifted(table):
        raise UserError(f"A row of {file} has {SHIFTED}")
    return list(table[COLUMN])


def answer(model: Sentiment, text: str, most: int) -> Answer:
    """Ask the model about a text; name the `most` words that moved its answer most."""
    explanation = model.explain(text)
    words = strongest(explanation, most)
    named = [(text[word.start : word.end], word.log_odds) for word in words]
    return Answer(text, explanation.label, explanation.probability, named)


def strongest(explanation: Explanation, most: int) -> list[Contribution]:
    """The words with the greatest effect, whichever way, the strongest first."""
    by_effect = sorted(explanation.words, key=lambda word: abs(word.log_odds), reverse=True)
    return [word for word in by_effect[:most] if word.log_odds]


def answers(model: Sentiment, texts: list[str], most: int) -> Iterator[Answer]:
    """Answers to all texts; without words to name they are asked about together."""
    if most:
        yield from (answer(model, text, most) for text in texts)
        return
    table = model.predict(None, pd.DataFrame({COLUMN: texts}))
    for text, label, probability in zip(texts, table["label"], table["probability"], strict=True):
        yield Answer(text, label, float(probability), [])


def as_json(given: Answer) -> dict[str, Any]:
    """An answer as `--json` prints it, each word by name."""
    words = [{"word": word, "log_odds": effect} for word, effect in given.words]
    return {**given._asdict(), "words": words}


def as_table(rows: list[Answer]) -> str:
    """A line a text, with its words and what each did to the log-odds of positive."""
    lines = [f"{'label':9}{'probability':>11}  {'text':{SHOWN}}  words that moved it most"]
    for row in rows:
        words = ", ".join(f"{word} {effect:+.2f}" for word, effect in row.words)
        text = " ".join(row.text.split())
        shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
        lines.append(f"{row.label:9}{row.probability:11.4f}  {shown:{SHOWN}}  {words}".rstrip())
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON, an object a line")
    arguments = parser.parse_args()
    file = os.environ.get("FILE")
    texts = read_texts(os.environ.get("TEXT"), Path(file) if file else None)
    most = load_params().predict.words
    model = champion.load(champion.uri())
    if arguments.json or os.environ.get("JSON", "0") not in ("", "0"):
        for given in answers(model, texts, most):
            print(json.dumps(as_json(given), ensure_ascii=False), flush=True)
        return
    print(as_table(list(answers(model, texts, most))))
    if most:
        print("\nA word's number: by how much the log-odds of positive fall when it is unknown.")


if __name__ == "__main__":
    run_command("make predict", main)
