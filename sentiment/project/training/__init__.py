"""The state of a training: its checkpoint, its name, its machine, and where it comes from."""
