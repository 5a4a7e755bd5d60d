"""The team's MLflow server: its settings, what is checked before it starts, and its history."""
