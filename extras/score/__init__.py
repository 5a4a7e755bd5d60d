"""Labels and probabilities for files of texts of any size."""
