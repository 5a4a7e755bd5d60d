"""Several models that answer as one: `make ensemble`."""
