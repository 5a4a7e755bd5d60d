"""A table gets enough steps, and a linear model of short texts reads no endings."""

import pytest

from sentiment.model.batches import count_steps
from sentiment.model.fitting import describe_fit, fit_to_table
from sentiment.params import AnyModel, LinearParams
from tests.params import new_section

LONG = 200.0  # words in the text of median length


def fitted(section: AnyModel, texts: int) -> tuple[int, int]:
    """Return the batch size and the epochs for a table of long texts."""
    after = fit_to_table(section, texts, LONG)
    return after.batch_size, after.epochs


@pytest.mark.parametrize(
    ("texts", "batch_size", "epochs"),
    [
        (20_000, 64, 5),  # 1,565 steps
        (12_800, 64, 5),  # exactly 1,000
        (3_200, 16, 5),
        (800, 4, 5),
        (80, 4, 50),  # smaller batches would follow single texts
    ],
)
def test_batches_get_smaller_and_then_epochs_are_added_until_there_are_enough_steps(
    texts: int, batch_size: int, epochs: int
) -> None:
    section = new_section("lstm", batch_size=64, epochs=5, min_steps=1000)
    assert fitted(section, texts) == (batch_size, epochs)
    assert count_steps(texts, batch_size, epochs) >= section.min_steps


@pytest.mark.parametrize("batch_size", [2, 64])
def test_nothing_is_fitted_without_min_steps(batch_size: int) -> None:
    section = new_section("lstm", batch_size=batch_size, epochs=5, min_steps=0)
    assert fitted(section, 80) == (batch_size, 5)


def test_a_batch_size_below_the_smallest_one_stays() -> None:
    assert fitted(new_section("lstm", batch_size=2, epochs=1, min_steps=1000), 80)[0] == 2


@pytest.mark.parametrize(("median_words", "ending"), [(25.0, 0.0), (25.5, 0.25)])
def test_a_linear_model_reads_no_endings_if_half_of_the_texts_are_short(
    median_words: float, ending: float
) -> None:
    section = fit_to_table(new_section("linear", ending=0.25), 25_000, median_words)
    assert isinstance(section, LinearParams)
    assert section.ending == ending


def test_each_decision_is_a_line() -> None:
    section = new_section("linear", batch_size=64, epochs=3, min_steps=1000)
    lines = [*describe_fit(section, fit_to_table(section, 80, 9.0), 80)]
    assert [line.split(",")[0] for line in lines] == [
        "50 epochs with batches of 4",
        "No endings",
    ]
    assert [*describe_fit(section, fit_to_table(section, 30_000, LONG), 30_000)] == []
