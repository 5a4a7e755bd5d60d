"""Read a dataset from its source into arrays of word ranks, and pad it."""
