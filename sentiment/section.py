"""The base class of all sections of params, and their dotted names."""

from typing import Any

from pydantic import BaseModel, ConfigDict

SEED_LIMIT = 2**32  # NumPy's legacy generators and Keras take 32-bit seeds
HIDDEN = "hidden"  # type of validation errors that must not show the input: it may hold a password


class Section(BaseModel):
    """A mapping of params. Unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def flatten(section: BaseModel, prefix: str) -> dict[str, Any]:
    """Return a section's values by dotted names that start with `prefix`. None is left out."""
    flat: dict[str, Any] = {}
    for key, value in section:
        name = f"{prefix}.{key}"
        if isinstance(value, BaseModel):
            flat |= flatten(value, name)
        elif value is not None:
            flat[name] = value
    return flat
