"""The metrics of the server, in the format of Prometheus."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram, Info

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import Prediction

MODEL = Info("sentiment_model", "Version that predicts.")
REQUESTS = Counter("sentiment_requests", "Requests to /invocations.", ["status"])
SECONDS_HISTOGRAM = Histogram(
    "sentiment_request_seconds", "Seconds until a request to /invocations had its response."
)
PREDICTION_COUNTER = Counter("sentiment_predictions", "Texts predicted.", ["label"])
WORD_COUNTER = Counter("sentiment_words", "Words of the texts.")
UNKNOWN_WORD_COUNTER = Counter("sentiment_unknown_words", "Unknown words of the texts.")
TRUNCATED_TEXT_COUNTER = Counter("sentiment_truncated_texts", "Texts that were truncated.")


def count_predictions(predictions: "Sequence[Prediction]") -> None:
    """Count the predictions of a request."""
    for prediction in predictions:
        PREDICTION_COUNTER.labels(prediction.label).inc()
        WORD_COUNTER.inc(prediction.words)
        UNKNOWN_WORD_COUNTER.inc(prediction.unknown_words)
        TRUNCATED_TEXT_COUNTER.inc(prediction.truncated)
