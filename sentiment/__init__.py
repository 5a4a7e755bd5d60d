"""What computes, and imports nothing of the project but itself: docs/architecture.md.

`errors`, `section`, `text`, `backend`, `gradients`: what several of the others need.
`data`: reviews from their source. `padding`: both parts as padded arrays.
`network`: the model, its fast path, its training and the state of that.
`scoring`: answers, metrics, tables and plots.
`serving`: the model that takes raw text; it travels with `text` and `backend`.
"""
