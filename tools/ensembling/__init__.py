"""Evaluated models as one: chosen, asked about the test set, logged as a run of their own."""
