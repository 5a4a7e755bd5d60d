"""The page of `make demo`, which Streamlit runs anew for each visitor and each change.

Streamlit and not Gradio: on top of what is installed it takes ten packages instead of twenty-one,
downgrades none, and its page loads nothing from elsewhere.
"""

import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from extras.demo import reading
from extras.demo.gates import Gates, watched
from sentiment.errors import UserError
from sentiment.explanation import Contribution, explain, trace
from sentiment.scoring.metrics import shown_in
from sentiment.serving.classifier import Sentiment
from sentiment.text import Word
from workflow.ending import escape
from workflow.registry import champion
from workflow.registry import versions as registry
from workflow.runs import store

EXAMPLES = {
    "first": "I expected a dull sequel, but the acting is brilliant and the story moved me. "
    "Not perfect, yet one of the best films of the year.",
    "second": "I expected a brilliant sequel, but the acting is dull and the story did not move "
    "me. Not one of the best films of the year.",
}
MOST_CHARACTERS = 20_000  # of a review; the model reads `pad.max_length` tokens of it
POSITIVE, NEGATIVE = "31, 119, 180", "255, 127, 14"  # tab:blue and tab:orange, as RGB
FAINTEST = 0.05  # a word below this share of the strongest effect stays without colour

CURVES = {"accuracy": "training", "val_accuracy": "validation"}  # columns of a history
CHART = {
    "transform": [{"fold": [*CURVES.values()], "as": ["part", "accuracy"]}],
    "mark": {"type": "line", "point": True},
    "encoding": {
        "x": {"field": "epoch", "type": "ordinal", "axis": {"labelAngle": 0}},
        "y": {"field": "accuracy", "type": "quantitative", "scale": {"zero": False}},
        "color": {
            "field": "part",
            "scale": {"range": ["#1f77b4", "#ff7f0e"]},
            "legend": {"orient": "bottom", "title": None},
        },
    },
}


class Champion(NamedTuple):
    """The model that is asked, what is known of it, and what tells its gates if it has some."""

    title: str
    history: pd.DataFrame  # a row an epoch
    model: Sentiment
    gates: Callable[[Sequence[Word]], list[Gates]] | None


def coloured(text: str, words: list[Contribution]) -> str:
    """The text as HTML: words that speak for positive on blue, for negative on orange.

    The colour is the stronger the greater a word's share of the strongest effect.
    """
    text = escape(text)  # as long as before
    strongest = max((abs(word.log_odds) for word in words), default=0.0) or 1.0
    parts, end = [], 0
    for word in words:
        shown = html.escape(text[word.start : word.end])
        share = abs(word.log_odds) / strongest
        if share > FAINTEST:
            colour = POSITIVE if word.log_odds > 0 else NEGATIVE
            style = f"background: rgba({colour}, {0.15 + 0.6 * share:.2f}); border-radius: 3px"
            title = f"{word.log_odds:+.2f}"
            shown = f'<mark title="{title}" style="{style}; color: inherit">{shown}</mark>'
        parts += [html.escape(text[end : word.start]), shown]
        end = word.end
    return "".join([*parts, html.escape(text[end:])]).replace("\n", "<br>")


@st.cache_resource(show_spinner="Loading the model …", max_entries=2)
def load(name: str, version: str) -> Champion:
    """Load a version and its run's curves; another champion is another version."""
    import mlflow

    client = mlflow.MlflowClient()
    run = client.get_run(str(client.get_model_version(name, version).run_id))
    path = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/train/history.csv")
    history = pd.read_csv(path).rename(columns=CURVES)
    title = f"Version {version} of {name} · {run.info.run_name}"
    model = champion.load(f"models:/{name}/{version}")
    if not hasattr(model, "reader"):
        raise UserError(f"{title} was registered before 0.2.0: evaluate its run again.")
    return Champion(title, history, model, watched(model.reader))


def show_text(label: str, key: str, asked: Champion) -> None:
    """A text, the answer to it, and how the model reads it."""
    text = st.text_area(label, key=key, height=160, max_chars=MOST_CHARACTERS)
    explanation = explain(asked.model, text)
    st.subheader(explanation.label.capitalize())
    share = explanation.probability
    st.progress(share, text=f"probability of being positive: {share:.1%}")
    st.markdown(f"<p>{coloured(text, explanation.words)}</p>", unsafe_allow_html=True)
    st.caption(
        "Blue words speak for positive, orange ones for negative, the stronger the more: by how "
        "much the log-odds change without the word (occlusion). Words without a colour "
        "have next to no effect, or the model does not know or read them."
    )
    show_reading(text, asked, key)


def show_reading(text: str, asked: Champion, key: str) -> None:
    """The probability after each word, and what an LSTM's gates do at it."""
    steps = trace(asked.model, text)
    if not steps:
        return
    gates = asked.gates(asked.model.words(text)) if asked.gates else ()
    table = reading.table(text, steps, gates)
    st.vega_lite_chart(table, reading.curve_chart(table))
    chart = f"{key}-strips-{hash(text)}"  # another text begins without a selection
    strips = reading.strips_chart(table)
    st.vega_lite_chart(table, strips, key=chart, on_select=lambda: cut(key, chart))
    st.caption(
        "Above, the answer to the text up to each word. Below, shaded by their size: of an LSTM "
        "the means of its forget, input and output gate, and the norm of its cell state, relative "
        "to the greatest. Point at a word for its numbers; click on it to cut the text there."
    )


def cut(key: str, chart: str) -> None:
    """Cut a text at the end of the word that was clicked in a chart."""
    chosen = st.session_state[chart]["selection"].get(reading.SELECTION)
    if chosen:
        st.session_state[key] = st.session_state[key][: chosen[0]["end"]]


def show_champion(asked: Champion, tags: dict[str, str]) -> None:
    """Metrics of the test set and the curves of the training; names are text and no Markdown."""
    st.subheader("The champion")
    st.text(escape(asked.title))
    metrics = shown_in("demo")
    columns: Any = st.columns(len(metrics))
    for column, (name, metric) in zip(columns, metrics.items(), strict=True):
        value = tags.get(f"test_{name}")
        column.metric(f"test {metric.label}", f"{float(value):.4f}" if value else "–")
    st.vega_lite_chart(asked.history, CHART)
    st.text(escape(f"Champion because: {tags.get(registry.REASON, 'unknown')}"))


def main() -> None:
    st.set_page_config("Reviews: positive or negative?", layout="wide")
    try:
        version = champion.current()
        with store.as_user_error():
            asked = load(version.name, str(version.version))
    except (UserError, OSError) as error:
        st.error(str(error))
        return
    st.title("Reviews: positive or negative?")
    for key, text in EXAMPLES.items():
        st.session_state.setdefault(key, text)
    two = st.toggle("Compare two reviews", key="two")
    left, right = st.columns(2 if two else [3, 2], gap="large")
    with left:
        show_text("A review", "first", asked)
    if two:
        with right:
            show_text("Another review", "second", asked)
    with st.container() if two else right:
        show_champion(asked, dict(version.tags))


if __name__ == "__main__":
    main()
