"""What computes: data, networks, evaluation and prediction. Nothing here knows DVC or MLflow."""
