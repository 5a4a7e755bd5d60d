"""Two runs or groups compared, and the report of one run."""
