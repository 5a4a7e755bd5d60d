"""A model's predictions as a table."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel


def answers(model: "SentimentModel", texts: pd.Series) -> pd.DataFrame:
    """Return a model's predictions for texts, with the index of the texts.

    Returns:
        Columns `label`, `probability` (float32), `words` (in all), `unknown` (words) and
        `truncated`, see `sentiment.serving.pyfunc_model.Prediction`.
    """
    predictions = model.predict_texts(texts.tolist())
    columns = ["label", "probability", "words", "unknown", "truncated"]
    table = pd.DataFrame(predictions, texts.index, columns)
    return table.astype({"probability": np.float32})
