"""The metrics of the model server, in the format of Prometheus."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

if TYPE_CHECKING:
    from sentiment.serving.pyfunc_model import Prediction


class ServerMetrics:
    """Counters of requests and predictions. Each application has a registry of its own."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._model = Info(
            "sentiment_model", "Model version that predicts.", registry=self._registry
        )
        self.set_version(version)
        self._requests = self._counter("requests", "Requests to /invocations.", "status")
        self._request_seconds = Histogram(
            "sentiment_request_seconds",
            "Seconds until a request to /invocations had its response.",
            registry=self._registry,
        )
        self._predictions = self._counter("predictions", "Texts predicted.", "label")
        self._words = self._counter("words", "Words of the texts.")
        self._unknown_words = self._counter("unknown_words", "Unknown words of the texts.")
        self._truncated_texts = self._counter("truncated_texts", "Texts that were truncated.")

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"sentiment_{name}", meaning, labels, registry=self._registry)

    def set_version(self, version: str) -> None:
        self._model.info({"version": version})

    def count_request(self, status: int, seconds: float) -> None:
        self._requests.labels(str(status)).inc()
        self._request_seconds.observe(seconds)

    def count_predictions(self, predictions: "Sequence[Prediction]") -> None:
        for prediction in predictions:
            self._predictions.labels(prediction.label).inc()
            self._words.inc(prediction.words)
            self._unknown_words.inc(prediction.unknown)
            self._truncated_texts.inc(prediction.truncated)

    def to_text(self) -> bytes:
        return generate_latest(self._registry)
