"""Milliseconds from the text of one review to its probability, in a process that is warm.

Prints a line a review. The texts are those of test reviews, put together from their words.
"""

import sys
import time

import numpy as np

from stages import evaluate, files, text
from stages.params import load_params
from stages.predictor import Predictor
from stages.reviews import read_reviews

WARM_UP = 20


def main() -> None:
    params, words = load_params(), evaluate.read_words()
    ranks = {word: rank for rank, word in enumerate(words) if word}
    x, order = files.read_arrays(evaluate.PAD, ["x_test", "test_order"])
    reviews = read_reviews(evaluate.FETCH, "test")
    ask = Predictor(evaluate.read_model(), params.evaluate.batch_size)
    for row in range(int(sys.argv[1]) + WARM_UP):
        review = " ".join(words[rank] for rank in reviews[order[row]])
        begun = time.perf_counter()
        tokens = text.encode([review], ranks, params.pad)
        ask(tokens)
        seconds = time.perf_counter() - begun
        if not np.array_equal(tokens[0], x[row]):
            sys.exit(f"review {row} is not encoded as stages.pad encodes it")
        if row >= WARM_UP:
            print(f"{1000 * seconds:.3f}")


if __name__ == "__main__":
    main()
