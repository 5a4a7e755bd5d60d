"""Special tokens: token ids that are not words, as in `keras.datasets.imdb.load_data`.

This module travels with each registered model.
"""

PADDING_TOKEN = 0  # the token id that Keras' layers mask
START_TOKEN = 1  # before the first word of a review
UNKNOWN_TOKEN = 2  # replaces rare words
INDEX_FROM = 3  # a word's token id is its frequency rank plus this
