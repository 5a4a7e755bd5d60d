"""Few and short texts get smaller batches, more epochs and shorter rows."""

from typing import Literal

import numpy as np
import pytest

from sentiment.data.lengths import measure_lengths
from sentiment.model.batches import count_steps
from sentiment.params import LinearParams, PadParams, TrainParams
from sentiment.project.fitted_params import MIN_STEPS, explain_fit, fit_params


@pytest.mark.parametrize(
    ("texts", "batch_size", "epochs"),
    [(25_000, 64, 3), (20_000, 57, 3), (3_500, 10, 3), (800, 4, 6), (230, 4, 19), (2, 4, 1000)],
)
def test_a_training_on_few_texts_has_smaller_batches_and_then_more_epochs(
    texts: int, batch_size: int, epochs: int
) -> None:
    train = TrainParams(epochs=3, validation_split=0.04)
    fitted = fit_params(PadParams(), train, measure_lengths(np.full(texts, 200)))
    assert fitted == {
        "pad.max_length": 200,
        "train.batch_size": batch_size,
        "train.epochs": epochs,
        "train.patience": 1,
        "train.linear.ngrams": 3,
        "train.linear.ending": 0.25,
    }
    assert count_steps(int(texts * 0.96), batch_size, epochs) >= MIN_STEPS


def test_small_batches_of_ones_own_stay_as_they_are() -> None:
    fitted = fit_params(PadParams(), TrainParams(batch_size=2), measure_lengths(np.full(100, 200)))
    assert fitted["train.batch_size"] == 2


@pytest.mark.parametrize(
    ("architecture", "words", "ngrams", "read"),
    [
        ("linear", [25, 25, 90], 3, (2, 0)),
        ("linear", [25, 25, 90], 1, (1, 0)),
        ("linear", [20, 26, 26], 3, (3, 0.5)),
        ("recurrent", [25, 25, 90], 3, (3, 0.5)),
    ],
)
def test_a_linear_model_of_short_texts_reads_neither_trigrams_nor_endings(
    architecture: Literal["linear", "recurrent"],
    words: list[int],
    ngrams: int,
    read: tuple[int, float],
) -> None:
    linear = LinearParams(ngrams=ngrams, ending=0.5)
    train = TrainParams(architecture=architecture, linear=linear)
    fitted = fit_params(PadParams(), train, measure_lengths(np.array(words)))
    assert (fitted["train.linear.ngrams"], fitted["train.linear.ending"]) == read


def test_nearly_all_short_texts_fit_into_a_row_with_the_start_token() -> None:
    lengths = np.arange(1, 1001)
    assert fit_params(PadParams(), TrainParams(), measure_lengths(lengths))["pad.max_length"] == 200
    wide = PadParams(max_length=2000)
    longest = fit_params(wide, TrainParams(), measure_lengths(lengths))["pad.max_length"]
    assert np.count_nonzero(lengths < longest) == 991


@pytest.mark.parametrize(
    ("architecture", "patience", "fitted"),
    [("recurrent", 0, 1), ("recurrent", 5, 5), ("linear", 0, 0)],
)
def test_a_network_on_a_table_stops_early(
    architecture: Literal["linear", "recurrent"], patience: int, fitted: int
) -> None:
    train = TrainParams(architecture=architecture, patience=patience)
    lengths = measure_lengths(np.full(100, 9))
    assert fit_params(PadParams(), train, lengths)["train.patience"] == fitted


def test_a_batch_size_and_a_number_of_epochs_that_were_fitted_are_explained() -> None:
    train = TrainParams(epochs=3)
    assert explain_fit(train, {"train.batch_size": 23, "train.epochs": 3}) == [
        "train.batch_size 23: the largest size with which 3 epochs have 1,000 steps, but at "
        "least 4."
    ]
    assert len(explain_fit(train, {"train.batch_size": 4, "train.epochs": 9})) == 2
    assert explain_fit(train, {"train.batch_size": 64, "train.epochs": 3}) == []
