"""Settings in a YAML file: read, checked, and a clear message where one is not allowed."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sentiment.errors import UserError
from sentiment.section import HIDDEN, Section

Settings = TypeVar("Settings", bound=Section)
NONE: Mapping[str, str] = MappingProxyType({})


def load(kind: type[Settings], path: Path, moved: Mapping[str, str] = NONE) -> Settings:
    """Read and check all of a file.

    Args:
        kind: what it has to be.
        path: the file.
        moved: sections of earlier versions, and what the message says of each.

    Raises:
        UserError: it is missing, not YAML, or a key or value is not allowed; the message
            names each key, its value and what is allowed.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the root of the project.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    return check(kind, document, str(path), moved)


def check(
    kind: type[Settings], document: Any, source: str, moved: Mapping[str, str] = NONE
) -> Settings:
    """Check a parsed document of `source`; raises UserError as `load` does."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        problems = [f"  {_problem(kind, detail, moved)}" for detail in error.errors()]
        raise UserError("\n".join([f"{source} is not valid:", *problems])) from None


def _problem(kind: type[Section], detail: ErrorDetails, moved: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden" and key in moved:
        return f"{key}: unknown key. Remove it: {moved[key]}"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key. {_suggestion(kind, detail['loc'])}"
    if detail["type"] == "missing":
        return f"{key}: missing"
    if detail["type"] == "model_type":
        return f"{key}: {detail['input']!r} is not allowed. A mapping of keys to values is expected"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == HIDDEN:
        return f"{key}: {message}"
    if detail["type"] == "value_error" and isinstance(detail["input"], dict):
        return f"{key}: {message}" if key else message  # about several values, which it names
    key = key or "the file"
    return f"{key}: {detail['input']!r} is not allowed. {message}"


def _suggestion(kind: type[Section], location: tuple[int | str, ...]) -> str:
    section: Any = kind
    for part in location[:-1]:
        if get_origin(section) is dict:  # `part` is one of its keys
            section = get_args(section)[1]
        else:
            section = section.model_fields[part].annotation
    key, allowed = str(location[-1]), list(section.model_fields)
    close = difflib.get_close_matches(key, allowed, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return f"{hint}Allowed: {', '.join(allowed)}"
