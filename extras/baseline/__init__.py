"""A linear model to compare networks with, as a pipeline of its own: `extras/baseline/dvc.yaml`."""
