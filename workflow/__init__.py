"""What runs, keeps and logs the pipeline; what computes is in `sentiment`."""
