"""All that travels with a registered model, as a folder, and nothing else.

Nothing here imports more of the project than `sentiment.tokenizer` and `sentiment.backend`: a model
brings its own copy of all three, under another name, see `workflow.registry.packaging`.
"""
