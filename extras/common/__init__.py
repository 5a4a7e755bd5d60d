"""Code that several extras share."""
