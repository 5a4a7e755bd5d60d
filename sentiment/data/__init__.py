"""Read reviews from their source into flat arrays of word ranks."""
