"""Two trainings, or groups of them, compared: read, tested, reported."""
