"""Texts and labels as numbers: words, ranks, rows of token ids, indices, probabilities.

Each registered model brings a copy of this package, see `sentiment.prediction`. Its modules import
nothing else of the project.
"""
