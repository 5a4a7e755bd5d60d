"""The model, how it is trained, and how a training is resumed."""
