"""Reviews, from their source to flat arrays of word ranks."""
