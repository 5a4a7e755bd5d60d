"""The tracking store and the life of a run in it."""
