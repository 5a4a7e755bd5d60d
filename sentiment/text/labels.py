"""The names of labels: how values of a table become names, and which columns have probabilities.

`labels` are indices, and `label_names` has the names in the order of the indices.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

PREFIX = "probability_"
INTEGER_AS_FLOAT = re.compile(r"^(-?\d+)\.0+$")  # pandas writes integers so if some are missing


def normalize_label(value: Any) -> Any:
    """Return a finite number or a boolean as its JSON text, and any other value as it is.

    The texts of a CSV file are normalized in the same way: 1, 1.0, `1` and `1.0` are the same
    label, and so are true, `true` and `True`. Whitespace around a text is removed.
    """
    if isinstance(value, str):
        text = value.strip()
        return text.lower() if text in ("True", "False") else INTEGER_AS_FLOAT.sub(r"\1", text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return json.dumps(value) if is_number else value


def probability_column(label: str) -> str:
    """Return the name of the column with the probability of a label."""
    return f"{PREFIX}{label}"


def label_names_in(columns: Iterable[str]) -> list[str]:
    """Return the labels whose probabilities are in some columns of a table, in their order."""
    return [name.removeprefix(PREFIX) for name in columns if name.startswith(PREFIX)]
