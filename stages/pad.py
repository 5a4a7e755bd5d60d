"""Stage 2: limit the vocabulary, add the special tokens, and pad every review to the same length.

Writes `data/pad/`: `x_train.npy`, `x_test.npy` (token ids, shape (reviews, max_length)),
`y_train.npy`, `y_test.npy` (labels, shape (reviews,)), `test_order.npy` (each test review's
position in `data/fetch`) and `test_seen.npy` (whether a test review is also in the training set).
"""

from sentiment.padding import pad_splits
from workflow import files
from workflow.about import AboutFetch, AboutPad, read_about, write_about
from workflow.commands import run_stage
from workflow.files import FETCH, PAD
from workflow.params import load_params


def main() -> None:
    params = load_params().pad
    about_fetch = read_about(FETCH, AboutFetch)
    train = files.read_reviews(FETCH, "train")
    test = files.read_reviews(FETCH, "test")
    with files.atomic_folder(PAD) as folder:
        files.write_arrays(folder, pad_splits(train, test, params))
        write_about(folder, AboutPad(dataset=about_fetch.dataset, pad=params))
    print(f"{len(train):,} + {len(test):,} reviews of {params.max_length} tokens")


if __name__ == "__main__":
    run_stage("pad", main)
