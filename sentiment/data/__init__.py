"""Reviews, from their source to padded arrays, and the folders that the stages wrote."""
