"""The model: its architectures, how it is built, trained and saved."""
