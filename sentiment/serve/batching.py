"""Predict the texts of concurrent requests together, because a batch costs little more than a text.

No text waits for others to come. A batch has the texts that came while the model was busy.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import Prediction

# A request with thousands of texts is split, so that others need not wait until all are predicted.
MAX_BATCH_TEXTS = 256


class WaitingTexts(NamedTuple):
    """At most `MAX_BATCH_TEXTS` texts of a request, and the predictions that it waits for."""

    texts: Sequence[str]
    predictions: "asyncio.Future[list[Prediction]]"


class Batcher:
    """A queue of texts. The model predicts the texts of all waiting requests, in one thread."""

    def __init__(self, predict_texts: "Callable[[Sequence[str]], list[Prediction]]") -> None:
        self._predict_texts = predict_texts
        self._waiting: list[WaitingTexts] = []
        self._model_lock = asyncio.Lock()

    async def predict(self, texts: Sequence[str]) -> "list[Prediction]":
        """Return a prediction for each text of a request. What the model raises is raised here."""
        predictions: list[Prediction] = []
        for start in range(0, len(texts), MAX_BATCH_TEXTS):
            predictions += await self._join_batch(texts[start : start + MAX_BATCH_TEXTS])
        return predictions

    async def _join_batch(self, texts: Sequence[str]) -> "list[Prediction]":
        waiting = WaitingTexts(texts, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        async with self._model_lock:
            # The previous holder of the lock may have predicted these texts with its own.
            while not waiting.predictions.done():
                await self._predict_batch()
        return await waiting.predictions

    async def _predict_batch(self) -> None:
        """Predict waiting texts, the oldest first, and give each request its predictions."""
        batch = [self._waiting.pop(0)]
        texts = [*batch[0].texts]
        while self._waiting and len(texts) + len(self._waiting[0].texts) <= MAX_BATCH_TEXTS:
            batch.append(self._waiting.pop(0))
            texts += batch[-1].texts
        try:
            predictions = iter(await asyncio.to_thread(self._predict_texts, texts))
        except asyncio.CancelledError:  # the server stops
            for waiting in batch:
                waiting.predictions.cancel()
            raise
        except Exception as error:
            for waiting in batch:
                waiting.predictions.set_exception(error)
            return
        for waiting in batch:
            waiting.predictions.set_result([*islice(predictions, len(waiting.texts))])
