"""A model for tests of the server: it counts words, and needs no network."""

import threading
import time
from collections.abc import Sequence

from sentiment.prediction.pyfunc_model import Prediction


class StubModel:
    """A model by which a text is positive with the probability 1 / (1 + characters).

    Words that begin with `zzz` are unknown. Texts of more than five words are truncated.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds  # each call keeps the model busy for this time
        self.error: Exception | None = None  # if set, each call raises it
        self.batches: list[list[str]] = []
        self._is_busy = threading.Lock()

    def predict_texts(self, texts: Sequence[str]) -> list[Prediction]:
        if not self._is_busy.acquire(blocking=False):
            raise AssertionError("two threads call the model at once")
        try:
            self.batches.append([*texts])
            time.sleep(self.seconds)
            if self.error is not None:
                raise self.error
            return [self.predict_text(text) for text in texts]
        finally:
            self._is_busy.release()

    @staticmethod
    def predict_text(text: str) -> Prediction:
        words = text.split()
        label = "negative" if "dull" in words else "positive"
        positive = 1 / (1 + len(text))
        probabilities = {"negative": 1 - positive, "positive": positive}
        return Prediction(
            label=label,
            probability=probabilities[label],
            probabilities=probabilities,
            words=len(words),
            unknown_words=sum(word.startswith("zzz") for word in words),
            truncated=len(words) > 5,
        )
