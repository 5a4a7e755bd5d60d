"""Count the reviews of a dataset."""

from typing import Any

import numpy as np

from sentiment.tokenizer import Reviews, review_hashes


def summarize_dataset(train: Reviews, test: Reviews, rows_skipped: int) -> dict[str, Any]:
    """Return the content of `summary.json`.

    Returns:
        `train` and `test`: for each set, the number of `reviews`, of `positive` ones and of
        `repeated` ones, which equal another review of the set word for word.
        `test_in_training`: number of test reviews that also occur in training.
        `left_out`: number of skipped rows, see `sentiment.data.table.EncodedDataset`.
    """
    splits = {"train": train, "test": test}
    hashes = {name: review_hashes(reviews) for name, reviews in splits.items()}
    counts = {
        name: {
            "reviews": len(reviews),
            "positive": int(reviews.labels.sum()),
            "repeated": len(reviews) - len(np.unique(hashes[name])),
        }
        for name, reviews in splits.items()
    }
    in_training = int(np.isin(hashes["test"], hashes["train"]).sum())
    return {**counts, "test_in_training": in_training, "left_out": rows_skipped}
