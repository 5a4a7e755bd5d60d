"""Milliseconds from the text of one review to its probability, in a process that is warm.

Prints a line a review. The texts are those of test reviews, put together from their words.
"""

import sys
import time
from collections.abc import Callable
from string import ascii_lowercase, ascii_uppercase

import numpy as np

from stages import evaluate, files
from stages.backend import load_keras
from stages.params import Pad, load_params
from stages.reviews import read_reviews

# Keras' IMDB has ASCII letters in lower case, and the apostrophe belongs to its words
LETTERS = dict(zip(ascii_uppercase, ascii_lowercase, strict=True))
SEPARATORS = dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " ")
TO_WORDS = str.maketrans(LETTERS | SEPARATORS)
WARM_UP = 20


def encode(text: str, ranks: dict[str, int], params: Pad) -> np.ndarray:
    """Turn a text into token ids, shape (1, max_length), by the rules of `stages.pad`."""
    found = (ranks.get(word) for word in text.translate(TO_WORDS).split(" "))
    ids = [rank + params.index_from for rank in found if rank is not None]
    kept = [id if id < params.num_words else params.unknown_token for id in ids]
    tokens = [params.start_token, *kept][-params.max_length :]
    row = np.full((1, params.max_length), params.padding_token, np.int32)
    row[0, params.max_length - len(tokens) :] = tokens
    return row


def predictor() -> Callable[[np.ndarray], float]:
    """The trained model as one program, compiled for one review at a time."""
    import tensorflow as tf

    model = evaluate.read_model()
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)
    return lambda row: float(compiled(row)[0, 0])


def main() -> None:
    load_keras()
    params, words = load_params().pad, evaluate.read_words()
    ranks = {word: rank for rank, word in enumerate(words) if word}
    x, order = files.read_arrays(evaluate.PAD, ["x_test", "test_order"])
    reviews, predict = read_reviews(evaluate.FETCH, "test"), predictor()
    for row in range(int(sys.argv[1]) + WARM_UP):
        text = " ".join(words[rank] for rank in reviews[order[row]])
        begun = time.perf_counter()
        tokens = encode(text, ranks, params)
        predict(tokens)
        seconds = time.perf_counter() - begun
        if not np.array_equal(tokens[0], x[row]):
            sys.exit(f"review {row} is not encoded as stages.pad encodes it")
        if row >= WARM_UP:
            print(f"{1000 * seconds:.3f}")


if __name__ == "__main__":
    main()
