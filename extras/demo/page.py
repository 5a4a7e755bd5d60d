"""The page of `sentiment demo`. Streamlit runs this file for each visitor and each change.

Streamlit rather than Gradio: it adds ten packages instead of twenty-one, downgrades none, and its
page loads nothing from elsewhere.
"""

import html
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from extras.common.operations import connect_to_version
from sentiment.errors import UserError, redact
from sentiment.prediction.explanation import (
    PrefixPrediction,
    WordAttribution,
    explain,
    prefix_predictions,
)
from sentiment.prediction.pyfunc_model import SentimentModel
from workflow.registry import ACCURACY
from workflow.versions import load_model, version_uri

TITLE = "Reviews: positive or negative?"
EXAMPLE_REVIEW = (
    "I expected a dull sequel, but the acting is brilliant and the story moved me. "
    "Not perfect, yet one of the best films of the year."
)
MAX_REVIEW_CHARACTERS = 20_000  # of a review, of which the model reads `pad.max_length` tokens
POSITIVE_COLOR = "31, 119, 180"  # Matplotlib's tab:blue, as RGB
NEGATIVE_COLOR = "255, 127, 14"  # tab:orange
MIN_SHOWN_SHARE = 0.05  # words below this share of the strongest attribution have no color
NUMBER_WIDTH = 6  # characters of a word's number in the chart's labels, which makes them unique
CHART: dict[str, Any] = {
    "height": 300,
    "mark": {"type": "line", "point": True, "tooltip": True},
    "encoding": {
        "x": {
            "field": "word",
            "type": "nominal",
            "sort": "ascending",  # None would keep words of an earlier text first
            "title": None,
            "axis": {
                "labelExpr": f"slice(datum.value, {NUMBER_WIDTH})",
                "labelAngle": -90,
                "labelOverlap": True,
            },
        },
        "y": {
            "field": "probability",
            "type": "quantitative",
            "scale": {"domain": [0, 1]},
        },
    },
}


def highlight_words(text: str, words: Sequence[WordAttribution]) -> str:
    """Return a text as HTML, with a background color behind words by their attribution.

    Blue speaks for the predicted label and orange against it. The color is the stronger, the larger
    a word's share of the strongest attribution is.
    """
    strongest = max((abs(word.log_odds) for word in words), default=0.0) or 1.0
    parts: list[str] = []
    end = 0
    for word in words:
        shown = html.escape(text[word.start : word.end])
        share = abs(word.log_odds) / strongest
        if share > MIN_SHOWN_SHARE:
            color = POSITIVE_COLOR if word.log_odds > 0 else NEGATIVE_COLOR
            style = f"background: rgba({color}, {0.15 + 0.6 * share:.2f}); border-radius: 3px"
            title = f"{word.log_odds:+.2f}"
            shown = f'<mark title="{title}" style="{style}; color: inherit">{shown}</mark>'
        parts += [html.escape(text[end : word.start]), shown]
        end = word.end
    return "".join([*parts, html.escape(text[end:])]).replace("\n", "<br>")


def prefix_table(text: str, steps: Sequence[PrefixPrediction], label: str) -> pd.DataFrame:
    """Return a row for each word: the word with its number, and the probability after it."""
    width = NUMBER_WIDTH - 1
    return pd.DataFrame(
        {
            "word": [
                f"{number:0{width}} {text[step.start : step.end]}"
                for number, step in enumerate(steps, 1)
            ],
            "probability": [step.probabilities[label] for step in steps],
        }
    )


@st.cache_resource(show_spinner="Loading the model …", max_entries=2)
def load_once(version: str) -> SentimentModel:
    """Load a version, once for all visitors."""
    return load_model(version)


def show_prediction(model: SentimentModel) -> None:
    """Ask for a text, and show its prediction and how the model reads it."""
    text = st.text_area("A review", EXAMPLE_REVIEW, height=160, max_chars=MAX_REVIEW_CHARACTERS)
    explanation = explain(model, text)
    label = explanation.label
    probability = explanation.probability
    st.subheader(label.capitalize())
    st.progress(probability, text=f"probability of {label}: {probability:.1%}")
    st.html(f"<p>{highlight_words(text, explanation.words)}</p>")
    st.caption(
        "Blue words speak for this label, and orange words against it. The stronger the color, the "
        "more the log-odds change without the word (occlusion). Words without a color have next to "
        "no effect, or the model does not know or read them."
    )
    steps = prefix_predictions(model, text)
    if steps:
        st.vega_lite_chart(prefix_table(text, steps, label), CHART)
        st.caption("The prediction after each word.")


def main() -> None:
    st.set_page_config(TITLE)
    st.title(TITLE)
    try:
        version = connect_to_version(None)
        model = load_once(version_uri(version))
    except UserError as error:
        st.error(redact(str(error)))
        return
    accuracy = version.tags.get(ACCURACY, "unknown")
    st.caption(f"Version {version.version} of {version.name}, test accuracy {accuracy}")
    show_prediction(model)


if __name__ == "__main__":
    main()
