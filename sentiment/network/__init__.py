"""Build the model, train it, and resume trainings."""
