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
PLACE = 4  # characters before the word in a label
MOST_LABELS = 40  # words that fit below a chart; of more, some are left out
# a label is unique, and its word is all that is shown of it
LABELS = {"labelExpr": f"slice(datum.value, {PLACE})", "labelAngle": -90, "labelLimit": 90}


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


def _words(axis: dict[str, Any]) -> dict[str, Any]:
    """The words along a chart, in their order."""
    return {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": axis}


def _tooltip(table: pd.DataFrame) -> list[dict[str, str]]:
    numbers = [name for name in NAMES if name in table]
    titles = {**NAMES, "probability": "positive after it", "cell": "norm of the cell state"}
    return [
        {"field": "word", "type": "nominal", "title": "word"},
        *(
            {"field": name, "type": "quantitative", "title": titles[name], "format": ".3f"}
            for name in numbers
        ),
    ]


def curve_chart(table: pd.DataFrame) -> dict[str, Any]:
    """The probability after each word as a Vega-Lite chart of `table`."""
    return {
        "height": 180,
        "mark": {"type": "line", "point": True, "color": COLOUR},
        "encoding": {
            "x": _words({"labels": False, "ticks": False}),
            "y": {
                "field": "probability",
                "type": "quantitative",
                "scale": {"domain": [0, 1]},
                "axis": {"format": "%", "tickCount": 4},
                "title": "positive",
            },
            "tooltip": _tooltip(table),
        },
    }


def strips_chart(table: pd.DataFrame) -> dict[str, Any]:
    """A strip for each number as a Vega-Lite chart of `strips`; a word can be clicked."""
    return {
        "height": {"step": 24},
        "params": [{"name": SELECTION, "select": {"type": "point", "fields": ["end"]}}],
        "mark": {"type": "rect", "color": COLOUR, "stroke": None},
        "encoding": {
            "x": _words({**LABELS, "labelOverlap": len(table) > MOST_LABELS}),
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
            "opacity": {
                "field": "share",
                "type": "quantitative",
                "scale": {"domain": [0, 1], "range": [0.03, 1]},
                "legend": None,
            },
            "tooltip": _tooltip(table),
        },
    }
