"""Show how a model reads a text: its prediction after each word, and an LSTM's gates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from extras.demo.gates import Gates
from sentiment.explanation import PrefixPrediction

# Columns, in the order of `Gates`
GATES = ["forget gate", "input gate", "output gate", "cell state"]
NUMBER_WIDTH = 4  # characters before the word in a label, which make labels unique
# The chart shows only the word of a label.
LABELS = {
    "labelExpr": f"slice(datum.value, {NUMBER_WIDTH})",
    "labelAngle": -90,
    "labelOverlap": True,
}


def prefix_table(
    text: str, steps: list[PrefixPrediction], gates: Sequence[Gates] = ()
) -> pd.DataFrame:
    """Return a row for each word: its label, and numbers from 0 to 1.

    A cell state is its norm relative to the greatest norm. Without gates, their columns are left
    out.
    """
    words = [text[step.start : step.end] for step in steps]
    labels = [f"{number:0{NUMBER_WIDTH - 1}} {word}" for number, word in enumerate(words, 1)]
    rows = pd.DataFrame({"label": labels, "positive": [step.probability for step in steps]})
    if gates:
        rows[GATES] = np.array(gates)
        rows["cell state"] /= rows["cell state"].max() or 1
    return rows


def prefix_chart(table: pd.DataFrame) -> dict[str, Any]:
    """Return the numbers at each word as a Vega-Lite chart of `table`, one line for each column."""
    shown = [name for name in ("positive", *GATES) if name in table]
    return {
        "height": 300,
        "transform": [{"fold": shown, "as": ["line", "value"]}],
        "mark": {"type": "line", "point": True, "tooltip": True},
        "encoding": {
            "x": {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": LABELS},
            "y": {"field": "value", "type": "quantitative", "title": None},
            "color": {"field": "line", "type": "nominal", "sort": shown, "title": None},
        },
    }
