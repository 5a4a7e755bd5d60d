"""Several models that answer as one: `tools/ensemble.py`."""
