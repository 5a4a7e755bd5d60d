"""Predict raw texts.

Each registered model brings a copy of this package, of `sentiment.text` and of `sentiment.backend`,
so that it predicts as when it was registered. They import nothing else of the project. Each copy
has a name of its own, so their imports are relative. See `sentiment.tracking.models.copy_code`.
"""
