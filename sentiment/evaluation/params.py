"""The params of the evaluation: the section `evaluate`."""

from itertools import pairwise

from pydantic import Field, field_validator

from sentiment.section import Section


class EvaluateParams(Section):
    batch_size: int = Field(ge=1, le=1_000_000)
    threshold: float = Field(gt=0, lt=1)
    length_buckets: list[int] = Field(min_length=1)
    calibration_bins: int = Field(ge=2, le=1000)
    mistakes: int = Field(ge=0, le=10_000)
    log_texts: bool

    @field_validator("length_buckets")
    @classmethod
    def _check_buckets(cls, bounds: list[int]) -> list[int]:
        if any(low >= high for low, high in pairwise([0, *bounds])):
            raise ValueError(
                "Bounds must be positive, and each must be greater than the one before"
            )
        return bounds
