"""Computation: data, networks, evaluation and prediction. It neither runs DVC nor logs."""
