"""What git and DVC know: commits, hashes, dvc.lock, and the tables that they track."""
