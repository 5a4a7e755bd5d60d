"""Read params.yaml, and change it without losing its comments."""

from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sentiment.errors import UserError
from sentiment.params import Params

PARAMS_FILE = Path("params.yaml")
MAX_LINE_WIDTH = 10_000  # a longer line would be wrapped, and its comment moved


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate params.yaml.

    Raises:
        UserError: the file is missing or is not YAML, or some keys or values are not allowed. The
            message names each of them and what is allowed.
    """
    return parse_params(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Read a YAML file by the rules of DVC.

    Raises:
        UserError: the file is missing or is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the root of the project.") from None
    # ValueError: the file is not UTF-8, or has a date such as 2001-02-30.
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None


def parse_params(document: Any, source: str) -> Params:
    """Validate a parsed params.yaml, in which each param must have a value.

    Args:
        document: the mapping of the sections.
        source: what the message calls the document.

    Raises:
        UserError: see `load_params`.
    """
    try:
        params = Params.model_validate(document)
        problems = [f"  {name}: missing" for name in _unset(params)]
    except ValidationError as error:
        problems = [f"  {_describe(detail)}" for detail in error.errors()]
    if problems:
        raise UserError("\n".join([f"{source} is not valid:", *problems]))
    return params


def _unset(section: BaseModel, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of the fields that have no value of their own."""
    for name, value in section:
        if name not in section.model_fields_set:
            yield f"{prefix}{name}"
        elif isinstance(value, BaseModel):
            yield from _unset(value, f"{prefix}{name}.")


def _describe(detail: ErrorDetails) -> str:
    name = ".".join(map(str, detail["loc"])) or "the file"
    if detail["type"] == "extra_forbidden":
        return f"{name}: there is no such param"
    if detail["type"] == "url":  # the URL may have a password
        return f"{name}: {detail['msg']}"
    return f"{name}: {detail['input']!r} is not allowed. {detail['msg']}"


def update_params_file(values: Mapping[str, Any], path: Path = PARAMS_FILE) -> list[str]:
    """Write values, given by dotted names, into params.yaml. Comments stay.

    Returns:
        One line for each param that changed, with its previous and its new value.

    Raises:
        UserError: the file is not valid, or would not be valid with these values.
    """
    load_params(path)
    yaml = YAML()
    yaml.width = MAX_LINE_WIDTH
    yaml.preserve_quotes = True
    document = yaml.load(path)
    changes = []
    for name, value in values.items():
        *sections, key = name.split(".")
        section = document
        for each in sections:
            section = section.get(each, {})
        if section.get(key) != value:
            changes.append(f"{name}: {section.get(key)} -> {value}")
            section[key] = value
    updated = StringIO()
    yaml.dump(document, updated)
    parse_params(YAML(typ="safe", pure=True).load(updated.getvalue()), str(path))
    if changes:
        path.write_text(updated.getvalue(), encoding="utf-8")
    return changes
