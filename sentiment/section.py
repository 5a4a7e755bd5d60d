"""The base of all settings, and their dotted names."""

from typing import Any

from pydantic import BaseModel, ConfigDict

SEED_LIMIT = 2**32  # NumPy's legacy generators and Keras take 32-bit seeds
HIDDEN = "hidden"  # type of an error whose input may hold a password, so that it is not shown


class Section(BaseModel):
    """A mapping of settings: unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def flatten(section: BaseModel, prefix: str) -> dict[str, Any]:
    """Return a section's values by their dotted names, which begin with the prefix."""
    flat: dict[str, Any] = {}
    for key, value in section:
        name = f"{prefix}.{key}"
        flat |= flatten(value, name) if isinstance(value, BaseModel) else {name: value}
    return flat
