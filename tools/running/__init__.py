"""Processes that commands start: DVC, and servers."""
