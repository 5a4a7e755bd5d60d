"""All that travels with a registered model, as a folder, and nothing else.

Nothing here imports from the rest of the project, and all imports within are relative: a model
brings its own copy of this package, under a name of its own (see `sentiment.registry.packaging`).
"""
