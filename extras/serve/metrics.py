"""The metrics of the server, in the format of Prometheus."""

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
    from sentiment.prediction.pyfunc_model import Prediction


class ServerMetrics:
    """Counters of requests and predictions. Each application has its own."""

    def __init__(self, version: str) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._registry = registry
        self._model = Info("sentiment_model", "Version that predicts.", registry=registry)
        self._requests = Counter(
            "sentiment_requests", "Requests to /invocations.", ["status"], registry=registry
        )
        self._seconds = Histogram(
            "sentiment_request_seconds",
            "Seconds until a request to /invocations had its response.",
            registry=registry,
        )
        self._predictions = Counter(
            "sentiment_predictions", "Texts predicted.", ["label"], registry=registry
        )
        self._words = Counter("sentiment_words", "Words of the texts.", registry=registry)
        self._unknown_words = Counter(
            "sentiment_unknown_words", "Unknown words of the texts.", registry=registry
        )
        self._truncated_texts = Counter(
            "sentiment_truncated_texts", "Texts that were truncated.", registry=registry
        )
        self.set_version(version)

    def set_version(self, version: str) -> None:
        """Name the version that predicts from now on."""
        self._model.info({"version": version})

    def count_request(self, status: int, seconds: float) -> None:
        """Count a request to `/invocations`."""
        self._requests.labels(str(status)).inc()
        self._seconds.observe(seconds)

    def count_predictions(self, predictions: "Sequence[Prediction]") -> None:
        """Count the predictions of a request."""
        for prediction in predictions:
            self._predictions.labels(prediction.label).inc()
            self._words.inc(prediction.words)
            self._unknown_words.inc(prediction.unknown_words)
            self._truncated_texts.inc(prediction.truncated)

    def to_text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
