"""A champion that was evaluated on a smaller test part is asked about the grown one itself."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import mlflow
import numpy as np
import pytest

from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import Reviews
from tests.workflow.registry import test_versions
from tests.workflow.registry.test_versions import champion_of, submitted, tags, write_evaluation
from workflow import files
from workflow.files import FETCH, TEST_DATA
from workflow.params import Promote
from workflow.registry import packaging

RANKS = {"good": 1, "bad": 2}
DATA = {"fetch.add": "answers", "fetch.table.split_seed": 0, "fetch.own_sha256": "abc"}
UNKNOWN = "it may have been trained on some of them"
OTHER = "evaluated on other reviews than the champion, which is not asked about them: "


class Model(SentimentModel):
    """Right about the first ten reviews, which are all positive."""

    threshold, word_index = 0.5, RANKS

    def __init__(self) -> None:
        self.classifier: Any = self

    def predict_probability(
        self, texts: Sequence[Sequence[int]]
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        assert texts[0] == [1, 2]
        return np.where(np.arange(len(texts)) < 10, 0.95, 0.05).astype(np.float32)


@pytest.fixture
def grow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let evaluations be on a test part of so many reviews, which these params shaped."""

    def grow_to(reviews: int, params: Any = DATA, index: Any = RANKS) -> None:
        test = Reviews.from_lists([[1, 2]] * reviews, np.ones(reviews, np.uint8))
        with files.replaced(FETCH) as folder:
            files.write_reviews(folder, "test", test)
            files.write_json(folder / "word_index.json", index)
            files.write_about(folder, {})
        used = {**params, "fetch.add_sha256": str(reviews), TEST_DATA: str(reviews)}
        write = partial(write_evaluation, of=reviews, **used)
        monkeypatch.setattr(test_versions, "write_evaluation", write)

    monkeypatch.setattr(packaging, "load", {"models:/imdb-sentiment/1": Model()}.__getitem__)
    grow_to(20)
    return grow_to


def test_the_champion_is_asked_about_the_new_test_part_and_the_version_says_so(
    client: mlflow.MlflowClient, rule: Promote, grow: Any
) -> None:
    submitted(client, 10, rule)
    grow(40)
    equal, better = submitted(client, 10, rule), submitted(client, 30, rule)
    assert tags(client, equal)["promote.reason"] == (
        "not shown to be better than the champion: McNemar's exact p = 1, +0 of 40 reviews, as "
        "candidate 1 against it tested at 0.025; the champion was asked again, about these test "
        "reviews (the champion: version 1)"
    )
    reason = tags(client, better)["promote.reason"]
    assert reason.startswith("better than the champion: McNemar's exact p = 1.9e-06, +20 of 40")
    assert "as candidate 2 against it tested at 0.0083; the champion was asked again" in reason
    assert champion_of(client) == better.run_id


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ([DATA], [{**DATA, "fetch.own_sha256": "another"}], UNKNOWN),
        ([DATA], [{**DATA, "fetch.table.split_seed": 1}], UNKNOWN),
        ([{}], [DATA], UNKNOWN),
        ([{}], [{}], UNKNOWN),
        ([DATA], [DATA, {"good": 2, "bad": 1}], "it numbers words in another way"),
    ],
)
def test_it_keeps_its_place_where_its_answers_would_say_less_than_the_candidate_s(
    client: mlflow.MlflowClient, rule: Promote, grow: Any, before: Any, after: Any, why: str
) -> None:
    grow(20, *before)
    first = submitted(client, 10, rule)
    grow(40, *after)
    second = tags(client, submitted(client, 30, rule))
    assert champion_of(client) == first.run_id
    assert second["promote.reason"] == f"{OTHER}{why} (the champion: version 1)"
    assert "promote.candidate" not in second
