"""Milliseconds from the text of one review to its probability, in a process that is warm.

Prints a line a review. The texts are those of test reviews, put together from their words.
"""

import sys
import time

import numpy as np

from sentiment import tokenizer
from sentiment.padding import layout
from sentiment.serving.keras_classifier import BatchPredictor, load_keras_model
from workflow import files, outputs
from workflow.files import read_reviews
from workflow.params import load_params

WARM_UP = 20


def main() -> None:
    params, words = load_params(), outputs.read_vocabulary()
    ranks = {word: rank for rank, word in enumerate(words) if word}
    x, order = files.read_arrays(files.PAD, ["x_test", "test_order"])
    reviews = read_reviews(files.FETCH, "test")
    ask = BatchPredictor(
        load_keras_model(files.verified(files.TRAIN / "model.keras")), params.evaluate.batch_size
    )
    for row in range(int(sys.argv[1]) + WARM_UP):
        review = " ".join(words[rank] for rank in reviews[order[row]])
        begun = time.perf_counter()
        tokens = tokenizer.pad_ranks([tokenizer.encode(review, ranks).ranks], layout(params.pad))
        ask(tokens)
        seconds = time.perf_counter() - begun
        if not np.array_equal(tokens[0], x[row]):
            sys.exit(f"review {row} is not encoded as the stage pad encodes it")
        if row >= WARM_UP:
            print(f"{1000 * seconds:.3f}")


if __name__ == "__main__":
    main()
