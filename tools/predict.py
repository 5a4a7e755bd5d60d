"""`make predict`: ask the champion about a text, and which words moved the answer most.

Or ask it about each text in a column of a CSV file.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

from sentiment.errors import UserError, first_line
from workflow import cli
from workflow.ending import escape
from workflow.registry import champion

if TYPE_CHECKING:
    from sentiment.serving.classifier import Sentiment

SHOWN = 60  # characters of a text in the table
WORDS = 5  # that moved an answer most


def read_csv(file: Path) -> list[str]:
    """The column `text` of a CSV file; raises UserError if it has none or is no such file."""
    from workflow.registry.scoring_server import COLUMN, SHIFTED, is_shifted

    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise UserError(f"{file} is not a CSV file in UTF-8: {first_line(error)}") from None
    if COLUMN not in table:
        raise UserError(f"{file} has no column {COLUMN!r}, but {', '.join(table.columns)}.")
    if is_shifted(table):
        raise UserError(f"A row of {file} has {SHIFTED}")
    if table.empty:
        raise UserError(f"{file} has no row.")
    return list(table[COLUMN])


def answers(model: "Sentiment", texts: list[str]) -> list[dict[str, Any]]:
    """What `--json` prints of each text."""
    from workflow.registry.scoring_server import COLUMN

    table = model.predict(None, pd.DataFrame({COLUMN: texts}))
    return [
        {"text": text, "label": label, "probability": float(probability), "words": []}
        for text, label, probability in zip(
            texts, table["label"], table["probability"], strict=True
        )
    ]


def explained(model: "Sentiment", text: str) -> dict[str, Any]:
    """What `--json` prints of a text, with the words that moved the answer most."""
    from sentiment.explanation import explain  # imports MLflow, which takes seconds

    answer = explain(model, text)
    by_effect = sorted(answer.words, key=lambda word: abs(word.log_odds), reverse=True)
    words = [
        {"word": text[word.start : word.end], "log_odds": word.log_odds}
        for word in by_effect[:WORDS]
        if word.log_odds
    ]
    probability = float(answer.probability)
    return {"text": text, "label": answer.label, "probability": probability, "words": words}


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
@cli.model_option
@cli.json_option
def main(text: str | None, file: Path | None, model: str | None, as_json: bool) -> None:
    if (text is None) == (file is None):
        raise click.UsageError('Give one: make predict TEXT="A fine film.", or FILE=reviews.csv.')
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise UserError("The text is not UTF-8.") from None
    with cli.output_kept(as_json):
        texts = read_csv(file) if file else []
        loaded = champion.load(champion.uri(model))
        documents = answers(loaded, texts) if text is None else [explained(loaded, text)]
    if not as_json:
        print(as_table(documents))
        return
    for document in documents:
        cli.print_json(document)


if __name__ == "__main__":
    cli.run("make predict", main)
