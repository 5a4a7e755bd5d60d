"""Predict raw texts.

Each registered model brings a copy of this package, so that it predicts as when it was registered.
The modules import nothing else of the project, and they import each other relatively, because each
copy has a name of its own. See `tracking.models.save_text_model`.
"""
