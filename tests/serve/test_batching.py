"""Texts of concurrent requests share batches, and each request gets its own predictions."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sentiment.serve.batching import MAX_BATCH_TEXTS, Batcher
from tests.serve.stub_model import StubModel


def predict_concurrently(model: StubModel, *requests: Sequence[str]) -> list[Any]:
    """Send all requests at once, and return the predictions, or the error, of each."""

    async def send_all() -> list[Any]:
        batcher = Batcher(model.predict_texts)
        sent = [batcher.predict(texts) for texts in requests]
        return await asyncio.gather(*sent, return_exceptions=True)

    return asyncio.run(send_all())


def test_concurrent_requests_are_predicted_in_one_batch_while_the_model_is_busy() -> None:
    model = StubModel(seconds=0.01)
    requests = [["first"], ["a"], ["b", "c"], [], ["d"]]
    predictions = predict_concurrently(model, *requests)
    assert model.batches == [["first"], ["a", "b", "c", "d"]]
    assert predictions == [[StubModel.predict_text(text) for text in texts] for texts in requests]


def test_large_request_is_split_and_other_requests_are_predicted_between() -> None:
    model = StubModel()
    large = [f"{number}" for number in range(3 * MAX_BATCH_TEXTS)]
    predictions, _ = predict_concurrently(model, large, ["small"])
    assert predictions == [StubModel.predict_text(text) for text in large]
    assert ["small"] in model.batches[:-1]
    assert max(map(len, model.batches)) == MAX_BATCH_TEXTS


def test_failing_model_fails_only_the_batch() -> None:
    model = StubModel()
    error = ValueError("broken")

    async def fail_then_succeed() -> list[Any]:
        batcher = Batcher(model.predict_texts)
        model.error = error
        sent = [batcher.predict([text]) for text in ("a", "b")]
        failures = await asyncio.gather(*sent, return_exceptions=True)
        model.error = None
        return [*failures, await batcher.predict(["c"])]

    predictions = [StubModel.predict_text("c")]
    assert asyncio.run(fail_then_succeed()) == [error, error, predictions]


def test_request_that_is_canceled_while_it_waits_does_not_keep_others_waiting() -> None:
    async def cancel_one() -> Any:
        batcher = Batcher(StubModel(seconds=0.01).predict_texts)
        tasks = [asyncio.create_task(batcher.predict([text])) for text in ("a", "bb", "ccc")]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.wait_for(asyncio.gather(tasks[0], tasks[2]), timeout=10)

    expected = [[StubModel.predict_text("a")], [StubModel.predict_text("ccc")]]
    assert asyncio.run(cancel_one()) == expected
