"""Classify texts: data, models, evaluation, prediction, tracking, and the command `sentiment`."""
