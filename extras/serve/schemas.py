"""The JSON that clients send to `/invocations`, and the JSON that they get.

The forms are MLflow's. Its own parser turns numbers and nulls into texts, and gives each text the
size of the longest one, so that a request of 16 MiB can need gigabytes.

Every list has a maximum length and stops at its first error. Pydantic would otherwise describe each
of millions of wrong items.
"""

import json
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, FailFast, Field, StrictStr, model_validator
from pydantic.config import JsonDict

from sentiment.prediction.pyfunc_model import TEXT_COLUMN

MAX_TEXTS = 10_000  # maximum of a request
MAX_COLUMNS = 1_000
FORMS = ("dataframe_records", "dataframe_split", "inputs", "instances")
EXAMPLE: JsonDict = {"dataframe_records": [{TEXT_COLUMN: "A fine film."}]}
ADVICE = f"Send JSON such as {json.dumps(EXAMPLE)}, with the header Content-Type: application/json."


class TextRecord(BaseModel):
    """A text of `dataframe_records`. Other columns are ignored."""

    text: StrictStr


class SplitTable(BaseModel):
    """A table with a column `text`, as pandas writes it with `orient="split"`."""

    columns: Annotated[list[StrictStr], FailFast(), Field(max_length=MAX_COLUMNS)]
    data: Annotated[
        list[Annotated[list[Any], Field(max_length=MAX_COLUMNS)]],
        FailFast(),
        Field(max_length=MAX_TEXTS),
    ]

    @model_validator(mode="after")
    def check_texts(self) -> Self:
        """Check that each row has a value for every column, and a string as its text."""
        if self.columns.count(TEXT_COLUMN) != 1:
            raise ValueError(f"columns should have {TEXT_COLUMN!r} exactly once")
        column = self.columns.index(TEXT_COLUMN)
        for number, row in enumerate(self.data):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {number} has {len(row)} values, but the table has {len(self.columns)} "
                    "columns"
                )
            if not isinstance(row[column], str):
                raise ValueError(f"the text of row {number} should be a valid string")
        return self

    @property
    def texts(self) -> list[str]:
        column = self.columns.index(TEXT_COLUMN)
        return [row[column] for row in self.data]


Texts = Annotated[list[StrictStr], FailFast(), Field(max_length=MAX_TEXTS)]


class PredictionRequest(BaseModel):
    """Texts in exactly one of the four JSON forms of MLflow. Other keys are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [EXAMPLE],
            "oneOf": [{"required": [form]} for form in FORMS],
        }
    )

    dataframe_records: Annotated[list[TextRecord], FailFast(), Field(max_length=MAX_TEXTS)] = []
    dataframe_split: SplitTable = SplitTable(columns=[TEXT_COLUMN], data=[])
    inputs: Texts = []
    instances: Texts = []

    @model_validator(mode="after")
    def check_form(self) -> Self:
        """Check that there is exactly one form, and that its texts are valid Unicode."""
        if len(self.model_fields_set) != 1:
            raise ValueError(f"exactly one of {', '.join(FORMS)} is needed")
        for number, text in enumerate(self.texts):
            try:
                text.encode()  # JSON can have half of a surrogate pair, such as "\ud800"
            except UnicodeEncodeError:
                raise ValueError(f"text {number} is not valid Unicode") from None
        return self

    @property
    def texts(self) -> list[str]:
        """The texts of all forms, of which only one has any."""
        records = [record.text for record in self.dataframe_records]
        return [*records, *self.dataframe_split.texts, *self.inputs, *self.instances]


class TextPrediction(BaseModel):
    """A text's label, the probability of the label, and those of all labels."""

    label: str
    probability: float
    probabilities: dict[str, float]


class PredictionResponse(BaseModel):
    """A prediction for each text of the request, in the same order."""

    predictions: list[TextPrediction]


class VersionResponse(BaseModel):
    """The model version that predicts, and the version of MLflow."""

    model: str
    mlflow: str


class StatusResponse(BaseModel):
    """The status of a server that is ready."""

    status: str


class ErrorResponse(BaseModel):
    """The problem of a request, and what to do."""

    detail: str
