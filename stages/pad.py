"""Stage 2: cut the vocabulary, add the marks, and pad every review to the same length.

Writes `data/pad/`: `x_train.npy`, `x_test.npy` (token ids, reviews x max_length), `y_train.npy`,
`y_test.npy` (labels), `test_order.npy` (each test review's position in `data/fetch`) and
`test_seen.npy` (whether it also occurs in training).
"""

from sentiment.padding import pad_splits
from sentiment.section import flatten
from workflow import ending, files
from workflow.files import FETCH, PAD, read_reviews
from workflow.params import load_params


def main() -> None:
    params = load_params().pad
    settings_used = files.read_about(FETCH)["params"] | flatten(params, "pad")
    train, test = (read_reviews(FETCH, part) for part in ("train", "test"))
    with files.replaced(PAD) as folder:
        files.write_arrays(folder, pad_splits(train, test, params))
        files.write_about(folder, settings_used)
    print(f"{len(train):,} + {len(test):,} reviews of {params.max_length} tokens")


if __name__ == "__main__":
    ending.run_stage("pad", main)
