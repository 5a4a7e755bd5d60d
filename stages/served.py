"""What MLflow runs to make the served model from its files: its models-from-code entry."""

import mlflow

from stages.sentiment import Sentiment

mlflow.models.set_model(Sentiment())
