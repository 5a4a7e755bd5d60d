"""The page of `make demo`. Streamlit runs this file for each visitor and each change.

Streamlit rather than Gradio: it adds ten packages instead of twenty-one, downgrades none, and its
page loads nothing from elsewhere.
"""

import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import streamlit as st
from mlflow.entities.model_registry import ModelVersion

from extras.demo import charts
from extras.demo.gates import Gates, gates_by_word
from sentiment.errors import UserError
from sentiment.evaluation.metrics import metrics_for
from sentiment.explanation import WordAttribution, explain, prefix_predictions
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import Word
from workflow.registry import champion, packaging, versions
from workflow.terminal import replace_control_characters

EXAMPLE = (
    "I expected a dull sequel, but the acting is brilliant and the story moved me. "
    "Not perfect, yet one of the best films of the year."
)
MAX_CHARACTERS = 20_000  # of a review, of which the model reads `pad.max_length` tokens
POSITIVE = "31, 119, 180"  # Matplotlib's tab:blue, as RGB
NEGATIVE = "255, 127, 14"  # tab:orange
MIN_SHOWN_SHARE = 0.05  # words below this share of the strongest attribution have no color


class LoadedModel(NamedTuple):
    """A model, and a function that returns its gates by word, if it has gates."""

    model: SentimentModel
    gates: Callable[[Sequence[Word]], list[Gates]] | None


def highlight_words(text: str, words: list[WordAttribution]) -> str:
    """Return a text as HTML, with a background color behind words by their attribution.

    Blue speaks for positive and orange for negative. The color is the stronger, the larger a word's
    share of the strongest attribution is.
    """
    text = replace_control_characters(text)  # positions in the text stay the same
    strongest = max((abs(word.log_odds) for word in words), default=0.0) or 1.0
    parts: list[str] = []
    end = 0
    for word in words:
        shown = html.escape(text[word.start : word.end])
        share = abs(word.log_odds) / strongest
        if share > MIN_SHOWN_SHARE:
            color = POSITIVE if word.log_odds > 0 else NEGATIVE
            style = f"background: rgba({color}, {0.15 + 0.6 * share:.2f}); border-radius: 3px"
            title = f"{word.log_odds:+.2f}"
            shown = f'<mark title="{title}" style="{style}; color: inherit">{shown}</mark>'
        parts += [html.escape(text[end : word.start]), shown]
        end = word.end
    return "".join([*parts, html.escape(text[end:])]).replace("\n", "<br>")


@st.cache_resource(show_spinner="Loading the model …", max_entries=2)
def load_version(name: str, version: str) -> LoadedModel:
    """Load a model version, once for all visitors."""
    model = packaging.load_model(f"models:/{name}/{version}")
    return LoadedModel(model, gates_by_word(model.classifier))


def show_prediction(loaded: LoadedModel) -> None:
    """Show a text, its prediction, and how the model reads it."""
    text = st.text_area("A review", EXAMPLE, height=160, max_chars=MAX_CHARACTERS)
    explanation = explain(loaded.model, text)
    st.subheader(explanation.label.capitalize())
    probability = explanation.probability
    st.progress(probability, text=f"probability of being positive: {probability:.1%}")
    st.markdown(f"<p>{highlight_words(text, explanation.words)}</p>", unsafe_allow_html=True)
    st.caption(
        "Blue words speak for positive, and orange words for negative. The stronger the color, the "
        "more the log-odds change without the word (occlusion). Words without a color have next to "
        "no effect, or the model does not know or read them."
    )
    if steps := prefix_predictions(loaded.model, text):
        gates = loaded.gates(loaded.model.tokenize(text)) if loaded.gates else ()
        table = charts.prefix_table(text, steps, gates)
        st.vega_lite_chart(table, charts.prefix_chart(table))
        st.caption(
            "The prediction after each word. An LSTM also shows the means of its forget, input and "
            "output gates, and the norm of its cell state, relative to the greatest norm."
        )


def show_champion(version: ModelVersion) -> None:
    """Show the version's title and its metrics on the test set."""
    st.subheader("The champion")
    st.text(versions.version_title(version))
    metrics = metrics_for("demo")
    columns: Any = st.columns(len(metrics))
    for column, (name, metric) in zip(columns, metrics.items(), strict=True):
        value = version.tags.get(f"test_{name}")
        column.metric(f"test {metric.label}", f"{float(value):.4f}" if value else "–")


def main() -> None:
    st.set_page_config("Reviews: positive or negative?", layout="wide")
    try:
        version = champion.champion_version()
        loaded = load_version(version.name, str(version.version))
    except (UserError, OSError) as error:
        st.error(str(error))
        return
    st.title("Reviews: positive or negative?")
    left, right = st.columns([3, 2], gap="large")
    with left:
        show_prediction(loaded)
    with right:
        show_champion(version)


if __name__ == "__main__":
    main()
