"""A page to try the champion: `make demo`."""
