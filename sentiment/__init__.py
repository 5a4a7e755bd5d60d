"""Computation: texts, data, models, evaluation and prediction. It neither runs DVC nor logs."""
