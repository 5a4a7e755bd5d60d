"""What several of the optional parts share."""
