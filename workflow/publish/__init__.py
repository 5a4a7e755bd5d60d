"""What `train` and `evaluate` log to a run, from the folders that they wrote.

Logged again, nothing is there twice: `make sync` logs with these functions what a run lacks.
"""
