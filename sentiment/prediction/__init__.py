"""Predict raw texts.

Each registered model brings a copy of this package, of `sentiment.text` and of `sentiment.backend`,
so that it predicts as when it was registered. These import each other relatively, because each copy
has a name of its own, and nothing else of the project. See `tracking.models.copy_code`.
"""
