"""Logs an evaluation to its run and registers the model."""
