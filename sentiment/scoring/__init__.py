"""Metrics, statistical tests and plots of a model's predictions."""
