"""The library that the stages and the commands are made of; docs/architecture.md shows the layers.

`errors`, `files`, `params`, `pipeline`, `process`, `machine`: what all of it needs.
`serving`: all that travels with a registered model; needs nothing else of the project.
`data`: reviews from their source to padded arrays, and what the stages wrote.
`scoring`: metrics, statistical tests and plots of predictions.
`runs`: the tracking store and the life of a run in it.
`network`: the model, its fast path, its training and its checkpoints.
`registry`: versions of the registered model, the rule, and the champion.
`publish`: what `train` and `evaluate` log to a run.
"""
