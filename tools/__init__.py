"""The commands behind `make`: environment, newcomer's run, MLflow UI."""
