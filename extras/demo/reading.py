"""How the demo's page shows the model reading: its answer after each word, and an LSTM's gates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from extras.demo.gates import Gates
from sentiment.explanation import Step

SELECTION = "word"  # the selection of a chart: the word that was clicked
COLOUR = "#1f77b4"
NORM = "norm of the cell state"
GATES = ["forget gate", "input gate", "output gate", NORM]  # columns, as `Gates` has them
STRIPS = ["positive", "forget gate", "input gate", "output gate", "cell state"]
PLACE = 4  # characters before the word in a label
# a label is unique, and its word is all that is shown of it
LABELS = {
    "labelExpr": f"slice(datum.value, {PLACE})",
    "labelAngle": -90,
    "labelLimit": 90,
    "labelOverlap": True,
}


def table(text: str, steps: list[Step], gates: Sequence[Gates] = ()) -> pd.DataFrame:
    """A row for each word: its label, its end in the text, and its numbers.

    Those of `STRIPS` are from 0 to 1: a cell state is its norm relative to the greatest. Without
    gates there are no columns for them and the cell.
    """
    rows = pd.DataFrame(
        {
            "label": f"{number:0{PLACE - 1}} {text[step.start : step.end]}",
            "word": text[step.start : step.end],
            "end": step.end,
            "positive": step.probability,
        }
        for number, step in enumerate(steps, 1)
    )
    if gates:
        rows[GATES] = np.array(gates)
        rows["cell state"] = rows[NORM] / (rows[NORM].max() or 1)
    return rows


def _encoding(table: pd.DataFrame, axis: dict[str, Any]) -> dict[str, Any]:
    """The words along a chart, in their order, and their numbers at the pointer."""
    titles = {"positive": "positive after it"} | {name: name for name in GATES}
    numbers = [
        {"field": name, "type": "quantitative", "title": title, "format": ".3f"}
        for name, title in titles.items()
        if name in table
    ]
    return {
        "x": {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": axis},
        "tooltip": [{"field": "word", "type": "nominal", "title": "word"}, *numbers],
    }


def curve_chart(table: pd.DataFrame) -> dict[str, Any]:
    """The probability after each word as a Vega-Lite chart of `table`."""
    probability = {
        "field": "positive",
        "type": "quantitative",
        "scale": {"domain": [0, 1]},
        "axis": {"format": "%", "tickCount": 4},
    }
    return {
        "height": 180,
        "mark": {"type": "line", "point": True, "color": COLOUR},
        "encoding": _encoding(table, {"labels": False, "ticks": False}) | {"y": probability},
    }


def strips_chart(table: pd.DataFrame) -> dict[str, Any]:
    """A strip for each of `STRIPS` as a Vega-Lite chart of `table`; a word can be clicked."""
    shade = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "range": [0.03, 1]},
        "legend": None,
    }
    name = {"field": "name", "type": "nominal", "sort": None, "title": None}
    shown = [name for name in STRIPS if name in table]
    return {
        "height": {"step": 24},
        "transform": [{"fold": shown, "as": ["name", "share"]}],
        "params": [{"name": SELECTION, "select": {"type": "point", "fields": ["end"]}}],
        "mark": {"type": "rect", "color": COLOUR, "stroke": None},
        "encoding": _encoding(table, LABELS) | {"y": name, "opacity": shade},
    }
