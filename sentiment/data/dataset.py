"""Read the dataset that the params name."""

import hashlib

import numpy as np
import pandas as pd

from sentiment.data import imdb, synthetic, table
from sentiment.data.encoded import EncodedDataset, seen_in_training
from sentiment.params import FetchParams
from sentiment.text.reviews import Reviews, review_hashes


def load_dataset(params: FetchParams) -> EncodedDataset:
    """Load the dataset.

    Raises:
        UserError: IMDB cannot be downloaded, or a table cannot be used.
    """
    if params.dataset == "table":
        return table.load_table(params.table)
    if params.dataset == "imdb":
        train, test, word_index = imdb.read_files(imdb.fetch_files())
    else:
        train, test, word_index = synthetic.generate(params.synthetic)
    unranked_words = np.zeros(len(test), np.int64)
    return EncodedDataset(
        train=train,
        test=test,
        test_rows=pd.DataFrame(
            {
                "row": np.arange(len(test)),
                "text_id": review_hashes(test),
                "unranked_words": unranked_words,
                "seen_in_training": seen_in_training(test, train, unranked_words),
            }
        ),
        word_index=word_index,
        label_names=imdb.LABEL_NAMES,  # the synthetic reviews have the same
        test_set_digest=digest_reviews(test),
    )


def digest_reviews(reviews: Reviews) -> str:
    """Return a digest of reviews whose texts are not available, by their ranks and labels."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (reviews.ranks, reviews.offsets, reviews.labels):
        digest.update(array.tobytes())
    return digest.hexdigest()
