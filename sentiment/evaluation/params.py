"""The params of the evaluation: the section `evaluate`."""

from itertools import pairwise

from pydantic import Field, field_validator

from sentiment.section import Section


class EvaluateParams(Section):
    """The section `evaluate`."""

    batch_size: int = Field(
        ge=1,
        le=1_000_000,
        description="Reviews in a prediction step, here and in the registered model. One text "
        "takes as long as a full batch.",
    )
    threshold: float = Field(
        gt=0, lt=1, description="Probability above which a review is predicted as positive."
    )
    length_buckets: list[int] = Field(
        min_length=1,
        description="Numbers of words, ascending: the upper bounds of the groups in the accuracy "
        "by length.",
    )
    calibration_bins: int = Field(
        ge=2,
        le=1000,
        description="Number of groups of equal width, by probability, in the reliability curve "
        "and the expected calibration error.",
    )
    mistakes: int = Field(
        ge=0,
        le=10_000,
        description="Number of wrong predictions to list, the most confident ones first.",
    )
    log_texts: bool = Field(
        description="Whether texts of wrong predictions are in the tables and pages that are "
        "logged to MLflow. With `false`, texts stay on this machine."
    )

    @field_validator("length_buckets")
    @classmethod
    def _check_buckets(cls, bounds: list[int]) -> list[int]:
        if any(low >= high for low, high in pairwise([0, *bounds])):
            raise ValueError(
                "Bounds must be positive, and each must be greater than the one before"
            )
        return bounds
