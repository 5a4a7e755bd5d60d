"""Number the n-grams of a review by a hash."""

from typing import Any

from sentiment.special_tokens import PADDING_TOKEN, UNKNOWN_TOKEN

HASH_PRIMES = (7_919, 1_000_003, 104_729)  # factors of the last word, the one before it, and so on
NO_NGRAM = -1


def ngram_hashes(tokens: Any, size: int) -> Any:
    """Return the hash of the n-gram that ends with each word.

    The hash is a sum over the n-gram's words, below 2^41 for up to a million words. Few n-grams of
    a dataset share a hash, so the hash identifies the n-gram.

    Args:
        tokens: token ids, shape (batch, length), any integer type.
        size: number of words of an n-gram, at most 3.

    Returns:
        Shape (batch, length), int64. `NO_NGRAM` if a word of the n-gram is padding or unknown.
    """
    from keras import ops

    tokens = ops.cast(tokens, "int64")  # products would overflow 32 bits
    hashes = ops.zeros_like(tokens)
    has_special = ops.zeros_like(tokens, "bool")
    for distance, prime in enumerate(HASH_PRIMES[:size]):
        earlier = ops.pad(tokens, [[0, 0], [distance, 0]], constant_values=PADDING_TOKEN)
        earlier = earlier[:, : tokens.shape[1]]
        hashes += prime * earlier
        for special_token in (PADDING_TOKEN, UNKNOWN_TOKEN):
            has_special = ops.logical_or(has_special, ops.equal(earlier, special_token))
    return ops.where(has_special, NO_NGRAM, hashes)
