"""A champion that was evaluated on a smaller test set predicts the larger one itself."""

from collections.abc import Callable, Sequence
from typing import Any

import mlflow
import numpy as np
import pytest
from numpy.typing import NDArray

from sentiment.data.params import Dataset
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import Reviews
from tests.workflow.registry.submitting import Submitter, champion_run, tags_of
from workflow import files
from workflow.about import AboutFetch, write_about
from workflow.files import FETCH
from workflow.registry import packaging

WORD_INDEX = {"good": 1, "bad": 2}
WITH_ADDED_TEXTS = Dataset(dataset="imdb", added_texts="labeled", own_sha256="abc")
MAY_HAVE_SEEN_THEM = "it may have been trained on some of these reviews"
NOT_COMPARED = (
    "the champion was evaluated on another test set, and cannot be compared on this one: "
)


class ChampionModel(SentimentModel):
    """A champion that is right about the first ten of the reviews, which are all positive."""

    threshold = 0.5
    word_index = WORD_INDEX

    def __init__(self) -> None:
        self.classifier: Any = self

    def predict_probability(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        assert texts[0] == [1, 2]
        return np.where(np.arange(len(texts)) < 10, 0.95, 0.05).astype(np.float32)


Grow = Callable[..., None]


@pytest.fixture
def grow(submit: Submitter, monkeypatch: pytest.MonkeyPatch) -> Grow:
    """Change the number of test reviews, and the params of the dataset."""

    def grow_to(
        reviews: int, dataset: Dataset = WITH_ADDED_TEXTS, word_index: Any = WORD_INDEX
    ) -> None:
        test = Reviews.from_lists([[1, 2]] * reviews, np.ones(reviews, np.uint8))
        with files.atomic_folder(FETCH) as folder:
            files.write_reviews(folder, "test", test)
            files.write_json(folder / "word_index.json", word_index)
            write_about(folder, AboutFetch(dataset=dataset))
        submit.evaluation = {
            "reviews": reviews,
            "test_digest": str(reviews),
            "dataset": dataset.model_copy(update={"added_texts_sha256": str(reviews)}),
        }

    models = {"models:/imdb-sentiment/1": ChampionModel()}
    monkeypatch.setattr(packaging, "load_model", models.__getitem__)
    grow_to(20)
    return grow_to


@pytest.mark.usefixtures("client")
def test_equal_candidate_is_not_promoted_and_the_version_says_how_it_was_compared(
    submit: Submitter, grow: Grow
) -> None:
    submit(10)
    grow(40)
    assert tags_of(submit(10))["promote.reason"] == (
        "not shown to be better than the champion: McNemar's exact p = 1, +0 of 40 reviews, "
        "test 1 against this champion, significance level 0.025; the champion has now been "
        "evaluated on this test set (the champion: version 1)"
    )


def test_better_candidate_is_promoted(
    client: mlflow.MlflowClient, submit: Submitter, grow: Grow
) -> None:
    submit(10)
    grow(40)
    better = submit(30)
    reason = tags_of(better)["promote.reason"]
    assert reason.startswith("better than the champion: McNemar's exact p = 1.9e-06, +20 of 40")
    assert champion_run(client) == better.run_id


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ([], [WITH_ADDED_TEXTS.model_copy(update={"own_sha256": "b"})], MAY_HAVE_SEEN_THEM),
        ([Dataset(dataset="imdb")], [WITH_ADDED_TEXTS], MAY_HAVE_SEEN_THEM),
        ([Dataset(dataset="imdb")], [Dataset(dataset="imdb")], MAY_HAVE_SEEN_THEM),
        ([], [WITH_ADDED_TEXTS, {"good": 2, "bad": 1}], "it has another word index"),
    ],
)
def test_champion_stays_if_its_predictions_would_be_unfair(
    client: mlflow.MlflowClient,
    submit: Submitter,
    grow: Grow,
    before: list[Any],
    after: list[Any],
    why: str,
) -> None:
    grow(20, *before)
    first = submit(10)
    grow(40, *after)
    tags = tags_of(submit(30))
    assert champion_run(client) == first.run_id
    assert tags["promote.reason"] == f"{NOT_COMPARED}{why} (the champion: version 1)"
    assert "promote.candidate" not in tags
