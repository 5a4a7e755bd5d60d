import numpy as np
import pytest

from extras.common.unpadded import history


def test_it_has_accuracy_and_cross_entropy_of_both_parts_in_one_row() -> None:
    labels = np.array([1, 0], np.uint8)
    answers = [np.array(pair, np.float32) for pair in ([0.8, 0.6], [0.9, 0.2])]
    (row,) = history(((labels, part) for part in answers), 2.5).to_dict("records")
    assert row == {
        "epoch": 1,
        "accuracy": 0.5,
        "loss": pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2, abs=1e-6),
        "val_accuracy": 1.0,
        "val_loss": pytest.approx(-(np.log(0.9) + np.log(0.8)) / 2, abs=1e-6),
        "seconds": 2.5,
    }
