"""Measure the milliseconds from the text of a review to its probability, in a warm process.

Prints one line a review. The texts are test reviews, joined from their words.
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

WARM_UP_REVIEWS = 20


def main() -> None:
    params = load_params()
    words = outputs.read_vocabulary()
    ranks = {word: rank for rank, word in enumerate(words) if word}
    x, order = files.read_arrays(files.PAD, ["x_test", "test_order"])
    reviews = read_reviews(files.FETCH, "test")
    predictor = BatchPredictor(
        load_keras_model(files.verified(files.TRAIN / "model.keras")), params.evaluate.batch_size
    )
    for row in range(int(sys.argv[1]) + WARM_UP_REVIEWS):
        review = " ".join(words[rank] for rank in reviews[order[row]])
        start = time.perf_counter()
        tokens = tokenizer.pad_ranks([tokenizer.encode(review, ranks).ranks], layout(params.pad))
        predictor(tokens)
        seconds = time.perf_counter() - start
        if not np.array_equal(tokens[0], x[row]):
            sys.exit(f"Review {row} is not encoded as by the stage `pad`. Run `dvc repro` first.")
        if row >= WARM_UP_REVIEWS:
            print(f"{1000 * seconds:.3f}")


if __name__ == "__main__":
    main()
