"""Predict raw texts with a registered model.

This package travels with each model, together with `backend`, `special_tokens` and `tokenizer`. Its
modules import nothing else of the project, and they import each other relatively, because each
model's copy has a name of its own. See `workflow.registry.packaging`.
"""
