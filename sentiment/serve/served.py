"""The version that predicts."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from sentiment.serve.batching import Batcher
from sentiment.tracking import models

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel


class ServedVersion(NamedTuple):
    """A version that is loaded.

    Attributes:
        batcher: predicts texts by the model.
        explaining: held while the model explains a prediction. Eight explanations at once would
            let a prediction wait for seconds.
    """

    uri: str
    model: "SentimentModel"
    batcher: Batcher
    explaining: asyncio.Lock


def load_version(uri: str) -> ServedVersion:
    """Load a version.

    Raises:
        UserError: it cannot be loaded.
    """
    model = models.load_model(uri)
    return ServedVersion(uri, model, Batcher(model.predict_texts), asyncio.Lock())
