"""Explain the prediction for a text by the pieces of the text.

Pieces rather than positions: JavaScript counts an emoji as two characters, and Python as one.
"""

from typing import TYPE_CHECKING

from sentiment.serve.prefixes import predict_prefixes
from sentiment.serve.schemas import ExplanationResponse, Piece

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel


def explain_text(version: str, model: "SentimentModel", text: str) -> ExplanationResponse:
    """Return the prediction for a text, with what each word that the model reads contributes."""
    explanation = model.explain(text)
    label = explanation.label
    of_label = predict_prefixes(model, text)[:, model.label_names.index(label)].tolist()
    pieces = []
    end = 0
    for word, probability in zip(explanation.words, of_label, strict=True):
        pieces.append(Piece(text=text[end : word.start]))
        end = word.end
        shown = text[word.start : end]
        pieces.append(Piece(text=shown, log_odds=word.log_odds, probability=probability))
    pieces.append(Piece(text=text[end:]))
    return ExplanationResponse(
        version=version,
        label=label,
        probability=explanation.probability,
        probabilities=explanation.probabilities,
        pieces=[piece for piece in pieces if piece.text],
    )
