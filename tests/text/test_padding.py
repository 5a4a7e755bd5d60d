"""Reviews become rows of token ids, with a start token and padding."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sentiment.text.padding import UNKNOWN_TOKEN, Layout, pad_ranks, token_dtype

LAYOUT = Layout(num_words=12, max_length=6, padding="pre", truncating="pre")


def test_texts_get_a_start_token_and_padding() -> None:
    rows = {
        (1, 3): [0, 0, 0, 1, 4, 6],
        (20,): [0, 0, 0, 0, 1, 2],
        (): [0, 0, 0, 0, 0, 1],
        (1, 1, 1, 1, 1, 3): [4, 4, 4, 4, 4, 6],
    }
    assert pad_ranks([*rows], LAYOUT).tolist() == [*rows.values()]
    assert pad_ranks([], LAYOUT).shape == (0, 6)


@pytest.mark.parametrize(
    ("num_words", "dtype"), [(256, "uint8"), (257, "uint16"), (65_537, "uint32")]
)
def test_token_dtype_is_the_smallest_that_fits(num_words: int, dtype: str) -> None:
    assert token_dtype(num_words) == np.dtype(dtype)


def test_layout_has_room_for_so_many_ranks() -> None:
    assert LAYOUT.max_rank == 8  # token ids from 4 to 11
    rows = pad_ranks([[LAYOUT.max_rank], [LAYOUT.max_rank + 1]], LAYOUT)
    assert rows[:, -1].tolist() == [11, UNKNOWN_TOKEN]


@pytest.mark.parametrize(("truncating", "words"), [("pre", 6), ("post", 5)])
def test_layout_has_room_for_so_many_words(truncating: Any, words: int) -> None:
    layout = replace(LAYOUT, truncating=truncating)
    rows = pad_ranks([[3] * words, [3] * (words + 1)], layout)
    assert np.count_nonzero(rows == 6, axis=1).tolist() == [words, words]
