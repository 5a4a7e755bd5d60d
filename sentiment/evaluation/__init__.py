"""Evaluate predictions: metrics, tables and plots."""
