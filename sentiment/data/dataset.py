"""Read the dataset that the params name, with the added texts."""

from pathlib import Path

import numpy as np

from sentiment.data import imdb, synthetic, table
from sentiment.data.encoded import EncodedDataset
from sentiment.params import FetchParams
from sentiment.text.reviews import review_hashes


def load_dataset(params: FetchParams) -> EncodedDataset:
    """Load the dataset, with the added texts.

    Raises:
        UserError: IMDB cannot be downloaded, or a table cannot be used.
    """
    if params.dataset == "table":
        dataset = table.load_table(params.table)
    else:
        if params.dataset == "imdb":
            train, test, word_index = imdb.read_files(imdb.fetch_files())
        else:
            train, test, word_index = synthetic.generate(params.synthetic)
        dataset = EncodedDataset(
            train=train,
            test=test,
            word_index=word_index,
            unranked_words=np.zeros(len(test), np.int64),
            test_text_digests=review_hashes(test),
            label_names=imdb.LABEL_NAMES,  # the synthetic reviews have the same
            test_set_digest=table.reviews_digest(test),
        )
    if params.adds_texts:
        texts = Path(params.added_texts)
        dataset = table.add_texts(dataset, texts, params.table, params.tokenizer)
    return dataset
