"""The model version that predicts, and its replacement while the server runs."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from workflow.serving.batching import Batcher
from workflow.serving.prediction_log import PredictionLog

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import SentimentModel


class ServedModel(NamedTuple):
    """A model version.

    Attributes:
        model: predicts texts, in one thread at a time.
        version: the URI of the version.
        log: where to log its predictions, if at all.
    """

    model: "SentimentModel"
    version: str
    log: PredictionLog | None = None


# from the URI of the version that is served to the version that replaces it, if there is one
FindReplacement = Callable[[str], ServedModel | None]


class CurrentModel:
    """The model version that predicts new requests. Earlier requests keep the version they had."""

    def __init__(self, served: ServedModel) -> None:
        self.served = served
        self.batcher = Batcher(served.model.predict_texts)

    def replace(self, served: ServedModel) -> None:
        self.served = served
        self.batcher = Batcher(served.model.predict_texts)

    async def follow(
        self, find_replacement: FindReplacement, seconds: float, on_change: Callable[[str], None]
    ) -> None:
        """Replace the model whenever another version takes its place.

        Args:
            find_replacement: is called in a thread of its own, and loads the model there.
            seconds: interval of the calls.
            on_change: gets the URI of the new version.
        """
        while True:
            await asyncio.sleep(seconds)
            try:
                served = await asyncio.to_thread(find_replacement, self.served.version)
            except Exception:
                logging.getLogger(__name__).exception("Looking for another version failed.")
                continue
            if served is not None:
                self.replace(served)
                on_change(served.version)
