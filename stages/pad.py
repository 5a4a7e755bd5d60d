"""Stage 2: cut the vocabulary, add the marks, and pad every review to the same length.

Writes `data/pad/`: `x_train.npy`, `x_test.npy` (token ids, reviews x max_length), `y_train.npy`,
`y_test.npy` (labels), `test_order.npy` (each test review's position in `data/fetch`) and
`test_seen.npy` (whether it also occurs in training).
"""

from sentiment import files, process
from sentiment.data.padding import padded
from sentiment.data.reviews import read_reviews
from sentiment.params import flatten, load_params
from sentiment.pipeline import FETCH, PAD


def main() -> None:
    params = load_params().pad
    shaping = files.read_about(FETCH)["params"] | flatten(params, "pad")
    train, test = (read_reviews(FETCH, part) for part in ("train", "test"))
    arrays = padded(train, test, params)
    process.raise_noted()
    with files.replaced(PAD) as folder:
        files.write_arrays(folder, arrays)
        files.write_about(folder, shaping)
    print(f"{len(train):,} + {len(test):,} reviews of {params.max_length} tokens")


if __name__ == "__main__":
    process.run_stage("pad", main)
