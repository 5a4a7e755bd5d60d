"""A model's answers to the test set, and the metrics, tables and plots of them."""
