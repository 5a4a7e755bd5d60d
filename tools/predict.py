"""`make predict`: predict the sentiment of a text, and show which words matter most.

To predict a file of texts, use `make batch-predict`.
"""

from typing import TYPE_CHECKING, Any

from sentiment.errors import UserError
from sentiment.explanation import explain
from workflow.commands import (
    command,
    json_option,
    model_option,
    option,
    print_result,
    run_command,
    stdout_to_stderr,
)
from workflow.registry.champion import model_uri_of, resolve_version
from workflow.registry.packaging import load_model

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel

MAX_TEXT_WIDTH = 60  # characters of the text in the table
MAX_WORDS = 5  # words with the largest attributions


def explain_prediction(model: "SentimentModel", text: str) -> dict[str, Any]:
    """Return the prediction for a text and its largest attributions, as `--json` prints them."""
    explanation = explain(model, text)
    largest = sorted(explanation.words, key=lambda word: abs(word.log_odds), reverse=True)
    words = [
        {"word": text[word.start : word.end], "log_odds": word.log_odds}
        for word in largest[:MAX_WORDS]
        if word.log_odds
    ]
    return {
        "text": text,
        "label": explanation.label,
        "probability": float(explanation.probability),
        "words": words,
    }


def format_prediction(prediction: dict[str, Any]) -> str:
    """Return a table with the prediction, and each word's attribution in log-odds of positive."""
    text = " ".join(prediction["text"].split())
    if len(text) > MAX_TEXT_WIDTH:
        text = f"{text[: MAX_TEXT_WIDTH - 1]}…"
    attributions = ("{word} {log_odds:+.2f}".format(**word) for word in prediction["words"])
    words = ", ".join(attributions)
    width = max(len(text), len("text"))
    header = f"{'label':9}{'probability':>11}  {'text':{width}}  words that matter most"
    prediction_columns = f"{prediction['label']:9}{prediction['probability']:11.4f}"
    row = f"{prediction_columns}  {text:{width}}  {words}".rstrip()
    return f"{header}\n{row}"


@command(__doc__)
@option("--text", envvar="TEXT", required=True, help="The text to predict.")
@model_option
@json_option
def main(text: str, model_uri: str | None, as_json: bool) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError("The text is not UTF-8. Encode it as UTF-8.") from None
    with stdout_to_stderr(as_json):
        model = load_model(model_uri_of(resolve_version(model_uri)))
        prediction = explain_prediction(model, text)
    print_result(prediction, format_prediction(prediction), as_json)


if __name__ == "__main__":
    run_command("make predict", main)
