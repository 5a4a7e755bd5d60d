"""Stage 1: read IMDB, a synthetic dataset or your own texts into arrays of word ranks.

Writes `data/fetch/`: `{train,test}_{tokens,offsets,labels}.npy` (see `tokenizer.Reviews`),
`test_dropped.npy` (number of each test review's words that have no rank) and `word_index.json`
(each word's frequency rank).
"""

from pathlib import Path

import numpy as np

from sentiment.data import imdb, synthetic, table
from sentiment.data.table import EncodedDataset
from sentiment.params import FetchParams
from sentiment.prediction.tokenizer import review_hashes
from workflow import files
from workflow.files import FETCH, FetchSections
from workflow.params_file import load_params
from workflow.stage import SignalFlag


def load_dataset(params: FetchParams) -> EncodedDataset:
    """Load the dataset, with the added texts."""
    if params.dataset == "table":
        dataset = table.load_table(params.table)
    else:
        if params.dataset == "imdb":
            train, test, word_index = imdb.read_files(imdb.fetch_files())
        else:
            train, test, word_index = synthetic.generate(params.synthetic)
        dataset = EncodedDataset(train, test, word_index, np.zeros(len(test), np.int64))
    if params.adds_texts:
        texts = Path(params.added_texts)
        dataset = table.add_texts(dataset, texts, params.table, params.tokenizer)
    return dataset


def describe_dataset(name: str, dataset: EncodedDataset) -> str:
    """Describe the size of a dataset, and what its user should know about it, in a few lines."""
    train_hashes = review_hashes(dataset.train)
    test_hashes = review_hashes(dataset.test)
    notes = {
        "training reviews repeat another": len(train_hashes) - len(np.unique(train_hashes)),
        "test reviews repeat another": len(test_hashes) - len(np.unique(test_hashes)),
        "test reviews are also in the training set": np.isin(test_hashes, train_hashes).sum(),
        "rows were skipped: no known word, or in the dataset already": dataset.rows_skipped,
    }
    lines = [f"{name}: {len(dataset.train):,} training and {len(dataset.test):,} test reviews"]
    lines += [f"  {count:,} {note}" for note, count in notes.items() if count]
    return "\n".join(lines)


def main(_: SignalFlag) -> None:
    params = load_params().fetch
    dataset = load_dataset(params)
    folder = files.new_folder(FETCH)
    files.write_reviews(folder, "train", dataset.train)
    files.write_reviews(folder, "test", dataset.test)
    files.write_arrays(folder, {"test_dropped": dataset.words_dropped})
    files.write_json(folder / "word_index.json", dataset.word_index)
    files.write_sections(folder, FetchSections(fetch=params.used()))
    print(describe_dataset(params.name, dataset))
