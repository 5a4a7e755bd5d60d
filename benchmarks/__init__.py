"""How fast the pipeline is, against what its users would otherwise run: `make bench`."""
