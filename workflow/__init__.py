"""What stores and logs: files, checkpoints, MLflow's runs and registered models."""
