"""Measurements of the pipeline, and of the notebook and PyTorch for comparison: `make bench`."""
