"""Data, networks, evaluation and the registered model. See docs/architecture.md.

Nothing here imports `workflow`, `stages` or `extras`.

- `errors`, `section`, `special_tokens`, `tokenizer`, `backend`, `gradients`: shared by the packages
  below.
- `data`: reads reviews from their source.
- `padding`: turns reviews into padded arrays.
- `network`: builds and trains the model.
- `evaluation`: computes metrics, tables and plots of predictions.
- `serving`: predicts raw texts. It travels with each registered model, together with this module,
  `backend`, `special_tokens` and `tokenizer`. These files import each other relatively, so that the
  folder may have any name.
"""
