"""The JSON that clients send and get. Texts to predict come in the forms of MLflow's server.

MLflow's own parser turns numbers and nulls into texts, and gives each text the size of the longest
one, so that a request of 16 MiB can need gigabytes.

Every list has a maximum length and stops at its first error. Pydantic would otherwise describe each
of millions of wrong items. Every text has a maximum length, since Pydantic then also checks that it
is valid Unicode: JSON can have half of a surrogate pair.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, StrictStr, model_validator
from pydantic.config import JsonDict

MAX_TEXTS = 10_000  # of a request
MAX_TEXT_CHARACTERS = 1_000_000  # of a text
MAX_EXPLAINED_CHARACTERS = 20_000
EXAMPLE: JsonDict = {"dataframe_records": [{"text": "A fine film."}]}
FORMS = ("dataframe_records", "dataframe_split", "inputs")

Text = Annotated[StrictStr, Field(max_length=MAX_TEXT_CHARACTERS)]
SplitRow = tuple[Text]


class TextRecord(BaseModel):
    """A text of `dataframe_records`. Other columns are ignored."""

    text: Text


class SplitTable(BaseModel):
    """A table with the one column `text`, as pandas writes it with `orient="split"`."""

    columns: tuple[Literal["text"]] = ("text",)
    data: Annotated[list[SplitRow], FailFast(), Field(max_length=MAX_TEXTS)] = []


class PredictionRequest(BaseModel):
    """Texts in exactly one of three JSON forms of MLflow. Other keys are ignored."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    dataframe_records: Annotated[list[TextRecord], FailFast(), Field(max_length=MAX_TEXTS)] = []
    dataframe_split: SplitTable = SplitTable()
    inputs: Annotated[list[Text], FailFast(), Field(max_length=MAX_TEXTS)] = []

    @model_validator(mode="after")
    def check_form(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"exactly one of {', '.join(FORMS)} is needed")
        return self

    @property
    def texts(self) -> list[str]:
        """The texts of all forms, of which only one has any."""
        records = [record.text for record in self.dataframe_records]
        rows = [text for (text,) in self.dataframe_split.data]
        return [*records, *rows, *self.inputs]


class TextPrediction(BaseModel):
    """A text's label, the probability of the label, and those of all labels."""

    label: str
    probability: float
    probabilities: dict[str, float]


class PredictionResponse(BaseModel):
    """A prediction for each text of the request, in the same order, all by one version."""

    version: str
    predictions: list[TextPrediction]


class ExplanationRequest(BaseModel):
    """A text, and the label to explain: the predicted one by default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "A fine film."}]})

    text: Annotated[StrictStr, Field(max_length=MAX_EXPLAINED_CHARACTERS)]
    label: Text | None = None


class Piece(BaseModel):
    """A piece of the text: a word that the model reads, or what is between two such words.

    Attributes:
        text: the piece. All pieces together are the text.
        log_odds: of a word: log-odds of the explained label with the word, minus those without it.
    """

    text: str
    log_odds: float | None = None


class ExplanationResponse(BaseModel):
    """An explained label with its probability, those of all labels, and the pieces of the text."""

    version: str
    label: str
    probability: float
    probabilities: dict[str, float]
    pieces: list[Piece]


class ErrorResponse(BaseModel):
    """The problem of a request, and what to do."""

    detail: str
