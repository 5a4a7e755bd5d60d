"""Token ids that are not those of words, as `keras.datasets.imdb.load_data` sets them.

This module travels with each served model.
"""

PADDING_TOKEN = 0  # the token id that Keras' layers mask
START_TOKEN = 1  # before the first word of a review
UNKNOWN_TOKEN = 2  # in place of a rare word
INDEX_FROM = 3  # a word's token id is its frequency rank plus this
