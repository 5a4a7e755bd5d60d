"""What several extras share."""
