"""`make predict`: ask the champion about a text, and which words moved the answer most.

`make score` answers a file of texts.
"""

from typing import TYPE_CHECKING, Any

from sentiment.errors import UserError
from workflow import cli
from workflow.ending import escape
from workflow.registry import champion

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel

SHOWN = 60  # characters of a text in the table
WORDS = 5  # that moved an answer most


def explained(model: "SentimentModel", text: str) -> dict[str, Any]:
    """What `--json` prints: the answer to a text, with the words that moved it most."""
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


def as_table(answer: dict[str, Any]) -> str:
    """The answer, and what each word did to the log-odds of positive."""
    words = escape(", ".join("{word} {log_odds:+.2f}".format(**word) for word in answer["words"]))
    text = escape(" ".join(answer["text"].split()))
    shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
    line = f"{answer['label']:9}{answer['probability']:11.4f}  {shown:{SHOWN}}  {words}".rstrip()
    return f"{'label':9}{'probability':>11}  {'text':{SHOWN}}  words that moved it most\n{line}"


@cli.command(__doc__)
@cli.option("--text", variable="TEXT", required=True, help="The text to ask about.")
@cli.model_option
@cli.json_option
def main(text: str, model: str | None, as_json: bool) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError("The text is not UTF-8.") from None
    with cli.output_kept(as_json):
        answer = explained(champion.load(champion.uri(model)), text)
    cli.report(answer, as_table(answer), as_json)


if __name__ == "__main__":
    cli.run("make predict", main)
