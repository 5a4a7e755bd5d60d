"""Stage 1: read IMDB, a synthetic dataset or your own texts into arrays of word ranks.

Writes `data/fetch/`: `{train,test}_{tokens,offsets,labels}.npy` (see
`sentiment.tokenizer.Reviews`), `test_dropped.npy` (see `sentiment.data.table.EncodedDataset`),
`word_index.json` (each word's frequency rank) and `summary.json` (how many reviews there are).
"""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentiment.data import imdb, synthetic, table
from sentiment.data.params import NO_ADDED_TEXTS, Dataset, FetchParams, describe_dataset
from sentiment.data.rows import BinaryLabels
from sentiment.data.summary import summarize_dataset
from sentiment.data.table import EncodedDataset
from sentiment.tokenizer import review_hashes
from workflow import downloads, files
from workflow.about import AboutFetch, write_about
from workflow.commands import run_stage
from workflow.files import FETCH
from workflow.params import load_params
from workflow.terminal import replace_control_characters


def load_dataset(params: FetchParams, scratch: Path) -> tuple[EncodedDataset, Dataset]:
    """Load the dataset, and describe what it depends on. Large arrays are files in `scratch`."""
    labels = BinaryLabels(params.table.positive, params.table.label)
    digests: dict[str, str] = {}
    if params.dataset == "imdb":
        archive, word_index_file = downloads.fetch_imdb()
        train, test, word_index = imdb.parse(archive, word_index_file)
        encoded = EncodedDataset(train, test, word_index, rows_skipped=0)
    elif params.dataset == "synthetic":
        train, test, word_index = synthetic.generate(params.synthetic)
        encoded = EncodedDataset(train, test, word_index, rows_skipped=0)
    else:
        with downloads.local_tables(params.table) as (sources, table_digests):
            encoded = table.load_table(params.table, sources, scratch, labels)
        digests = {f"{split}_sha256": digest for split, digest in table_digests.items()}
    if params.added_texts != NO_ADDED_TEXTS:
        # As long as this digest is the same, an added text stays in the training or the test set.
        hashes = (review_hashes(split).tobytes() for split in (encoded.train, encoded.test))
        digests["own_sha256"] = hashlib.sha256(b"".join(hashes)).hexdigest()
        tokenizer = describe_dataset(params).tokenizer
        with downloads.local_added_tables(params.added_texts) as (sources, added_digest):
            encoded = table.add_texts(encoded, params.table, tokenizer, sources, labels)
        digests["added_texts_sha256"] = added_digest
    return encoded, describe_dataset(params, **digests)


def format_summary(name: str, summary: Mapping[str, Any]) -> str:
    """Format the summary of a dataset as one or two lines."""
    train = summary["train"]
    test = summary["test"]
    counts = {
        "training reviews repeat another": train["repeated"],
        "test reviews repeat another": test["repeated"],
        "test reviews are also in the training set": summary["test_in_training"],
        "rows without a known word, or already in the dataset, are skipped": summary["left_out"],
    }
    lines = [f"{name}: {train['reviews']:,} training and {test['reviews']:,} test reviews"]
    notes = [f"{count:,} {what}" for what, count in counts.items() if count]
    if notes:
        lines.append(", ".join(notes))
    return replace_control_characters("\n".join(lines))


def main() -> None:
    params = load_params().fetch
    with files.atomic_folder(FETCH) as folder:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # has the space of the data's disk
            encoded, dataset = load_dataset(params, Path(scratch))
            files.write_reviews(folder, "train", encoded.train)
            files.write_reviews(folder, "test", encoded.test)
            files.write_arrays(folder, {"test_dropped": encoded.words_dropped})
            summary = summarize_dataset(encoded.train, encoded.test, encoded.rows_skipped)
        files.write_json(folder / "word_index.json", encoded.word_index)
        files.write_json(folder / "summary.json", summary)
        write_about(folder, AboutFetch(dataset=dataset))
    print(format_summary(params.name, summary))


if __name__ == "__main__":
    run_stage("fetch", main)
