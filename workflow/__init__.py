"""Run, store and log the pipeline. The code that computes is in `sentiment`."""
