"""Stage 2: cut the vocabulary, add the marks, and pad every review to the same length.

Writes `data/pad/`: `x_train.npy`, `x_test.npy` (token ids, reviews x max_length), `y_train.npy`,
`y_test.npy` (labels), `test_order.npy` (each test review's position in `data/fetch`) and
`test_seen.npy` (whether it also occurs in training).
"""

import sys
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from sentiment.padding import Rows, padded
from sentiment.section import flatten
from workflow import ending, files
from workflow.files import FETCH, PAD, read_reviews
from workflow.params import load_params


def watched(name: str, rows: Rows) -> Rows:
    """The same rows, with a bar that shows how many are written."""
    from tqdm import tqdm

    def blocks() -> Iterator[NDArray[Any]]:
        total, quiet = rows.shape[0], not sys.stderr.isatty()
        with tqdm(desc=name, total=total, unit="reviews", unit_scale=True, disable=quiet) as bar:
            for block in rows.blocks:
                yield block
                bar.update(len(block))

    return rows._replace(blocks=blocks())


def main() -> None:
    params = load_params().pad
    settings_used = files.read_about(FETCH)["params"] | flatten(params, "pad")
    train, test = (read_reviews(FETCH, part) for part in ("train", "test"))
    arrays = padded(train, test, params)
    with files.replaced(PAD) as folder:
        for name, array in arrays.items():
            ready = watched(name, array) if isinstance(array, Rows) else array
            files.write_arrays(folder, {name: ready})
        files.write_about(folder, settings_used)
    print(f"{len(train):,} + {len(test):,} reviews of {params.max_length} tokens")


if __name__ == "__main__":
    ending.run_stage("pad", main)
