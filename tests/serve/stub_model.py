"""A model for tests of the server, which needs no network."""

import threading
import time
from collections.abc import Sequence

from sentiment.prediction.explanation import Explanation
from sentiment.prediction.pyfunc_model import Prediction


class StubModel:
    """A model by which a text is positive with the probability 1 / (1 + characters).

    Attributes:
        label_names: the names of the labels.
        seconds: how long each prediction keeps the model busy.
        error: what each prediction raises, if it is set.
        batches: the texts of each call.
        is_explaining: whether an explanation has begun.
        may_explain: an explanation waits until it is set.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.label_names = ["negative", "positive"]
        self.seconds = seconds
        self.error: Exception | None = None
        self.batches: list[list[str]] = []
        self.is_explaining = False
        self.may_explain = threading.Event()
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

    def explain(self, text: str, label: str | None = None) -> Explanation:
        self.is_explaining = True
        assert self.may_explain.wait(60)
        prediction = self.predict_text(text)
        probabilities = prediction.probabilities
        label = label or prediction.label
        return Explanation(label, probabilities[label], probabilities, [])

    @staticmethod
    def predict_text(text: str) -> Prediction:
        label = "negative" if "dull" in text else "positive"
        positive = 1 / (1 + len(text))
        probabilities = {"negative": 1 - positive, "positive": positive}
        return Prediction(
            label=label,
            probability=probabilities[label],
            probabilities=probabilities,
            words=len(text.split()),
            unknown_words=0,
        )
