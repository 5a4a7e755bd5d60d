"""Stage 1: IMDB as Keras publishes it, a synthetic set or your own texts, as plain typed arrays.

Writes `data/fetch/`: `{train,test}_{tokens,offsets,labels}.npy` (see
`sentiment.tokenizer.Reviews`), `test_dropped.npy` (see `sentiment.data.table.EncodedDataset`),
`word_index.json`, each word's frequency rank, and `summary.json`, how many reviews there are.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentiment.data import imdb, synthetic, table
from sentiment.data.params import NO_ADDED_TEXTS, FetchParams, describe_dataset
from sentiment.data.rows import BinaryLabels
from sentiment.data.summary import summarize_dataset
from sentiment.data.table import EncodedDataset
from sentiment.section import flatten
from sentiment.tokenizer import review_hashes
from workflow import downloads, ending, files
from workflow.params import load_params


def load(params: FetchParams, scratch: Path) -> tuple[EncodedDataset, dict[str, str]]:
    """Load the data set, a large one into files in `scratch`; with digests for its description."""
    labels, digests = BinaryLabels(params.table.positive, params.table.label), dict[str, str]()
    if params.dataset == "imdb":
        loaded = EncodedDataset(*imdb.parse(*downloads.imdb(params)), 0)
    elif params.dataset == "synthetic":
        loaded = EncodedDataset(*synthetic.generate(params.synthetic), 0)
    else:
        with downloads.tables(params.table) as (sources, of_parts):
            loaded = table.load_table(params.table, sources, scratch, labels)
        digests = {f"{part}_sha256": digest for part, digest in of_parts.items()}
    if params.add != NO_ADDED_TEXTS:
        own = b"".join(review_hashes(part).tobytes() for part in (loaded.train, loaded.test))
        # as long as it is the same, a text that joins stays in training or in the test part
        digests["own_sha256"] = hashlib.sha256(own).hexdigest()
        tokenizer = describe_dataset(params).tokenizer
        with downloads.added(params.add) as (sources, digests["add_sha256"]):
            loaded = table.add_texts(loaded, params.table, tokenizer, sources, labels)
    return loaded, digests


def describe(name: str, summary: Mapping[str, Any]) -> str:
    """The summary in a line or two."""
    train, test = summary["train"], summary["test"]
    lines = [f"{name}: {train['reviews']:,} training and {test['reviews']:,} test reviews"]
    counts = {
        "training reviews repeat another": train["repeated"],
        "test reviews repeat another": test["repeated"],
        "test reviews occur in training": summary["test_in_training"],
        "rows without a word are left out": summary["left_out"],
    }
    lines += [", ".join(f"{count:,} {what}" for what, count in counts.items() if count)]
    return ending.escape("\n".join(filter(None, lines)))


def main() -> None:
    params = load_params().fetch
    with files.replaced(files.FETCH) as folder:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:  # on the same disk
            source, digests = load(params, Path(scratch))
            files.write_reviews(folder, "train", source.train)
            files.write_reviews(folder, "test", source.test)
            files.write_arrays(folder, {"test_dropped": source.words_dropped})
            summary = summarize_dataset(source.train, source.test, source.rows_skipped)
        files.write_json(folder / "word_index.json", source.word_index)
        files.write_json(folder / "summary.json", summary)
        files.write_about(folder, flatten(describe_dataset(params, **digests), "fetch"))
    print(describe(params.name, summary))


if __name__ == "__main__":
    ending.run_stage("fetch", main)
