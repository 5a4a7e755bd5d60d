"""How commands run: their options and their end, and the DVC and the servers that they start."""
