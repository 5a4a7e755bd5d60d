"""Two trainings, or groups of them, compared: read, tested, reported."""

WORKSPACE, CHAMPION = "workspace", "champion"  # names of runs to compare
