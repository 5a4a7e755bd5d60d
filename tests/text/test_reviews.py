"""Reviews are arrays of word ranks."""

import numpy as np

from sentiment.text.reviews import Reviews, review_hashes


def test_rarer_words_of_each_review_are_counted() -> None:
    reviews = Reviews.from_lists([[1, 9, 8], [], [9, 9, 10], [8]], np.zeros(4, int))
    assert reviews.lengths.tolist() == [3, 0, 3, 1]
    assert reviews.count_rarer(8).tolist() == [1, 0, 3, 0]
    assert Reviews.from_lists([], np.zeros(0, int)).count_rarer(8).tolist() == []


def test_reviews_have_the_same_hash_only_if_all_words_are_the_same() -> None:
    lists = [[1, 2], [2, 1], [1], [1, 2], [], [1, 2, 1]]
    hashes = review_hashes(Reviews.from_lists(lists, np.zeros(6, int)))
    assert hashes[0] == hashes[3]
    assert len(set(hashes.tolist())) == 5
