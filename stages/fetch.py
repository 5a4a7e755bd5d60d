"""Stage 1: IMDB as Keras publishes it, a synthetic set or your own texts, as plain typed arrays.

Writes `data/fetch/`: `{train,test}_{tokens,offsets,labels}.npy` (see `sentiment.text.Reviews`),
`test_dropped.npy` (see `sentiment.data.table.Loaded`), `word_index.json`, each word's frequency
rank, and `summary.json`, how many reviews there are.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentiment.data import imdb, synthetic, table
from sentiment.data.dataset import NOTHING, Fetch, settings_used, summarize
from sentiment.data.rows import Labels
from sentiment.data.table import Loaded
from sentiment.text import fingerprints
from workflow import downloads, ending, files
from workflow.params import load_params, tokenizer_of


def load(params: Fetch, scratch: Path) -> tuple[Loaded, dict[str, str]]:
    """Load the data set, a large one into files in `scratch`; with digests for its description."""
    labels, digests = Labels(params.table.positive, params.table.label), dict[str, str]()
    if params.dataset == "imdb":
        loaded = Loaded(*imdb.parse(*downloads.imdb(params)), 0)
    elif params.dataset == "synthetic":
        loaded = Loaded(*synthetic.generate(params.synthetic), 0)
    else:
        with downloads.tables(params.table) as (sources, of_parts):
            loaded = table.load(params.table, sources, scratch, labels)
        digests = {f"fetch.table.{part}_sha256": digest for part, digest in of_parts.items()}
    if params.add != NOTHING:
        own = b"".join(fingerprints(part).tobytes() for part in (loaded.train, loaded.test))
        # as long as it is the same, a text that joins stays in training or in the test part
        digests["fetch.own_sha256"] = hashlib.sha256(own).hexdigest()
        tokenizer = tokenizer_of(settings_used(params))
        with downloads.added(params.add) as (sources, digests["fetch.add_sha256"]):
            loaded = table.join(loaded, params.table, tokenizer, sources, labels)
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
            files.write_arrays(folder, {"test_dropped": source.dropped})
            summary = summarize(source.train, source.test, source.left_out)
        files.write_json(folder / "word_index.json", source.ranks)
        files.write_json(folder / "summary.json", summary)
        files.write_about(folder, settings_used(params) | digests)
    print(describe(params.name, summary))


if __name__ == "__main__":
    ending.run_stage("fetch", main)
