"""Names of layers, by which other modules find them in a model."""

EMBEDDING = "embedding"  # of a recurrent network
HEAD = "probability"
