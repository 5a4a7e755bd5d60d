"""Explain the prediction for a text by the pieces of the text.

Pieces rather than positions: JavaScript counts an emoji as two characters, and Python as one.
"""

from typing import TYPE_CHECKING

from sentiment.serve.schemas import ExplanationResponse, Piece

if TYPE_CHECKING:
    from sentiment.prediction.explanation import Explanation


def describe_explanation(
    version: str, text: str, explanation: "Explanation"
) -> ExplanationResponse:
    """Return an explanation of a text, with what each word that the model reads contributes."""
    pieces = []
    end = 0
    for word in explanation.words:
        pieces.append(Piece(text=text[end : word.start]))
        end = word.end
        pieces.append(Piece(text=text[word.start : end], log_odds=word.log_odds))
    pieces.append(Piece(text=text[end:]))
    return ExplanationResponse(
        version=version,
        label=explanation.label,
        probability=explanation.probability,
        probabilities=explanation.probabilities,
        pieces=[piece for piece in pieces if piece.text],
    )
