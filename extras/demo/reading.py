"""How the demo's page shows the model reading: its answer after each word, and an LSTM's gates."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from extras.demo.gates import Gates
from sentiment.explanation import Step

SELECTION = "word"  # the selection of a chart: the word that was clicked
COLOUR = "#1f77b4"
NAMES = {
    "probability": "positive",
    "forget": "forget gate",
    "input": "input gate",
    "output": "output gate",
    "cell": "cell state",
}
IN_FULL = NAMES | {"probability": "positive after it", "cell": "norm of the cell state"}
PLACE = 4  # characters before the word in a label
# a label is unique, and its word is all that is shown of it
LABELS = {
    "labelExpr": f"slice(datum.value, {PLACE})",
    "labelAngle": -90,
    "labelLimit": 90,
    "labelOverlap": True,
}


def table(text: str, steps: list[Step], gates: Sequence[Gates] = ()) -> pd.DataFrame:
    """A row for each word: its label, its end in the text, and its numbers by `NAMES`.

    Without gates there are no columns for them and the cell.
    """
    return pd.DataFrame(
        {
            "label": f"{number + 1:0{PLACE - 1}} {text[step.start : step.end]}",
            "word": text[step.start : step.end],
            "end": step.end,
            "probability": step.probability,
            **(gates[number]._asdict() if gates else {}),
        }
        for number, step in enumerate(steps)
    )


def strips(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each word and each of its numbers, as `strips_chart` draws it.

    `share` is what shades it: a gate and a probability as they are, the cell's norm relative to its
    greatest.
    """
    shown = [name for name in NAMES if name in table]
    rows = table.melt(["label"], shown, "name", "value")
    cell = rows["name"] == "cell"
    rows["share"] = rows["value"].where(~cell, rows["value"] / (rows["value"][cell].max() or 1))
    return rows.merge(table, on="label").replace({"name": NAMES})


def _encoding(table: pd.DataFrame, axis: dict[str, Any]) -> dict[str, Any]:
    """The words along a chart, in their order, and their numbers at the pointer."""
    numbers = [
        {"field": name, "type": "quantitative", "title": title, "format": ".3f"}
        for name, title in IN_FULL.items()
        if name in table
    ]
    return {
        "x": {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": axis},
        "tooltip": [{"field": "word", "type": "nominal", "title": "word"}, *numbers],
    }


def curve_chart(table: pd.DataFrame) -> dict[str, Any]:
    """The probability after each word as a Vega-Lite chart of `table`."""
    probability = {
        "field": "probability",
        "type": "quantitative",
        "scale": {"domain": [0, 1]},
        "axis": {"format": "%", "tickCount": 4},
        "title": "positive",
    }
    return {
        "height": 180,
        "mark": {"type": "line", "point": True, "color": COLOUR},
        "encoding": _encoding(table, {"labels": False, "ticks": False}) | {"y": probability},
    }


def strips_chart(table: pd.DataFrame) -> dict[str, Any]:
    """A strip for each number as a Vega-Lite chart of `strips`; a word can be clicked."""
    shade = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "range": [0.03, 1]},
        "legend": None,
    }
    name = {"field": "name", "type": "nominal", "sort": None, "title": None}
    return {
        "height": {"step": 24},
        "params": [{"name": SELECTION, "select": {"type": "point", "fields": ["end"]}}],
        "mark": {"type": "rect", "color": COLOUR, "stroke": None},
        "encoding": _encoding(table, LABELS) | {"y": name, "opacity": shade},
    }
