"""Stage 2: limit the vocabulary, add the special tokens, and pad every review to the same length.

Writes `data/pad/`: `x_train.npy`, `x_test.npy` (token ids, shape (reviews, max_length)),
`y_train.npy`, `y_test.npy` (labels, shape (reviews,)), `test_order.npy` (each test review's
position in `data/fetch`) and `test_seen.npy` (whether a test review is also in the training set).
"""

from sentiment.padding import pad_splits
from workflow import files
from workflow.files import FETCH, PAD, FetchSections, PadSections
from workflow.params_file import load_params
from workflow.stage import SignalFlag


def main(_: SignalFlag) -> None:
    params = load_params().pad
    fetched = files.read_sections(FETCH, FetchSections)
    train = files.read_reviews(FETCH, "train")
    test = files.read_reviews(FETCH, "test")
    folder = files.new_folder(PAD)
    files.write_arrays(folder, pad_splits(train, test, params))
    files.write_sections(folder, PadSections(fetch=fetched.fetch, pad=params))
    print(f"{len(train):,} + {len(test):,} reviews of {params.max_length} tokens")
