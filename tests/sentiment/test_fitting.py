"""Few and short texts get smaller batches, more epochs and shorter rows."""

import numpy as np
import pytest

from sentiment.fitting import MIN_STEPS, fit_params
from sentiment.network.batches import count_steps
from sentiment.params import PadParams, TrainParams


@pytest.mark.parametrize(
    ("texts", "batch_size", "epochs"),
    [(25_000, 64, 3), (20_000, 57, 3), (3_500, 10, 3), (800, 2, 3), (230, 1, 5), (2, 1, 1000)],
)
def test_a_training_on_few_texts_has_smaller_batches_and_then_more_epochs(
    texts: int, batch_size: int, epochs: int
) -> None:
    train = TrainParams(epochs=3, validation_split=0.04)
    fitted = fit_params(PadParams(), train, np.full(texts, 200))
    assert fitted == {
        "pad.max_length": 200,
        "train.batch_size": batch_size,
        "train.epochs": epochs,
    }
    assert count_steps(int(texts * 0.96), batch_size, epochs) >= MIN_STEPS


def test_nearly_all_short_texts_fit_into_a_row_with_the_start_token() -> None:
    lengths = np.arange(1, 1001)
    assert fit_params(PadParams(), TrainParams(), lengths)["pad.max_length"] == 200
    wide = PadParams(max_length=2000)
    longest = fit_params(wide, TrainParams(), lengths)["pad.max_length"]
    assert np.count_nonzero(lengths < longest) == 991
