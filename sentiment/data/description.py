"""Describe a dataset: its size, its labels, and what its user should know about its texts."""

import numpy as np

from sentiment.data.encoded import EncodedDataset
from sentiment.data.labels import MAX_LABELS_SHOWN
from sentiment.text.reviews import review_hashes


def describe_dataset(name: str, dataset: EncodedDataset) -> str:
    """Describe the size and the labels of a dataset, and what its user should know, in lines."""
    train_hashes = review_hashes(dataset.train)
    # The hash of a text leaves out words without a rank.
    is_ranked = dataset.test_rows["unranked_words"] == 0
    test_ids = np.where(is_ranked, review_hashes(dataset.test), dataset.test_rows["text_id"])
    notes = {
        "repeated training texts": len(train_hashes) - len(np.unique(train_hashes)),
        "repeated test texts": len(test_ids) - len(np.unique(test_ids)),
        "test texts that are also in the training set": dataset.test_rows["seen_in_training"].sum(),
        "skipped rows, which have no word": dataset.skipped_rows,
    }
    lines = [f"{name}: {len(dataset.train):,} training and {len(dataset.test):,} test texts"]
    lines.append(f"  labels: {describe_labels(dataset)}")
    lines += [f"  {note}: {count:,}" for note, count in notes.items() if count]
    return "\n".join(lines)


def describe_labels(dataset: EncodedDataset) -> str:
    """Return the labels with the numbers of their texts."""
    indices = np.concatenate([dataset.train.labels, dataset.test.labels])
    counts = np.bincount(indices, minlength=len(dataset.label_names)).tolist()
    named = [f"{label} {count:,}" for label, count in zip(dataset.label_names, counts, strict=True)]
    shown = ", ".join(named[:MAX_LABELS_SHOWN])
    more = len(named) - MAX_LABELS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def describe_lengths(dataset: EncodedDataset) -> str:
    """Say how long the training texts are."""
    lengths = dataset.train.lengths
    return (
        f"Half of the training texts have at most {np.median(lengths):,.0f} words, and the longest "
        f"{lengths.max():,}."
    )
