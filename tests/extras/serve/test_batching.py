"""Texts of concurrent requests share batches, and each request gets its own predictions."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from extras.serve.batching import MAX_BATCH_TEXTS, Batcher, PredictionError
from tests.extras.serve.stub_model import StubModel


def predict_concurrently(model: StubModel, *requests: Sequence[str]) -> list[Any]:
    """Send all requests at once, and return the predictions, or the error, of each."""

    async def send_all() -> list[Any]:
        batcher = Batcher(model.predict_texts)
        sent = [batcher.predict(texts) for texts in requests]
        return await asyncio.gather(*sent, return_exceptions=True)

    return asyncio.run(send_all())


def test_concurrent_requests_are_predicted_in_one_batch_while_the_model_is_busy() -> None:
    model = StubModel(seconds=0.01)
    predict_concurrently(model, ["first"], ["a"], ["b", "c"], ["d"])
    assert model.batches == [["first"], ["a", "b", "c", "d"]]


def test_each_concurrent_request_gets_the_predictions_of_its_own_texts() -> None:
    requests = [["x" * number, "y" * (number + 50)] for number in range(40)]
    expected = [[StubModel.predict_text(text) for text in texts] for texts in requests]
    assert predict_concurrently(StubModel(), *requests) == expected


def test_large_request_is_split_and_other_requests_are_predicted_between() -> None:
    model = StubModel()
    large = [f"{number}" for number in range(3 * MAX_BATCH_TEXTS)]
    predictions, _ = predict_concurrently(model, large, ["small"])
    assert predictions == [StubModel.predict_text(text) for text in large]
    assert ["small"] in model.batches[:-1]
    assert max(map(len, model.batches)) == MAX_BATCH_TEXTS


def test_request_without_texts_gets_no_predictions() -> None:
    model = StubModel()
    assert predict_concurrently(model, []) == [[]]
    assert model.batches == []


def test_failing_model_fails_only_the_batch() -> None:
    model = StubModel()

    async def fail_then_succeed() -> list[Any]:
        batcher = Batcher(model.predict_texts)
        model.error = ValueError("broken")
        sent = [batcher.predict([text]) for text in ("a", "b")]
        failures = await asyncio.gather(*sent, return_exceptions=True)
        model.error = None
        return [*failures, await batcher.predict(["c"])]

    *failures, predictions = asyncio.run(fail_then_succeed())
    assert [type(failure) for failure in failures] == [PredictionError, PredictionError]
    assert predictions == [StubModel.predict_text("c")]


def test_traceback_of_a_failing_model_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    model = StubModel()
    model.error = ValueError("broken")
    with caplog.at_level(logging.ERROR):
        predict_concurrently(model, ["a"])
    assert "The model failed on 1 texts." in caplog.text
    assert "ValueError: broken" in caplog.text


def test_request_that_is_canceled_while_it_waits_does_not_keep_others_waiting() -> None:
    async def cancel_one() -> Any:
        batcher = Batcher(StubModel(seconds=0.01).predict_texts)
        tasks = [asyncio.create_task(batcher.predict([text])) for text in ("a", "bb", "ccc")]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.wait_for(asyncio.gather(tasks[0], tasks[2]), timeout=10)

    expected = [[StubModel.predict_text("a")], [StubModel.predict_text("ccc")]]
    assert asyncio.run(cancel_one()) == expected
