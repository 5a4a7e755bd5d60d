"""A team's MLflow server, and the move of a history to it."""
