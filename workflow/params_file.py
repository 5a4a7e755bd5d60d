"""Params by their dotted names, and changes of `params.yaml` that keep its comments."""

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from workflow import cli
from workflow.params import PARAMS_FILE, Params, check_params

SEARCHED = ("pad", "train")  # sections whose parameters a sweep may search, and a preset set
SETTING = re.compile(r"(?P<setting>(?P<indent> *)(?P<key>\w+):.*?)(?:\s+# *(?P<comment>.*))?")
WIDTH = 10_000  # of a line: a comment is one line, however long


def parameter(name: str) -> FieldInfo | None:
    """What is known of the parameter of this dotted name; None if there is none."""
    model: Any = Params
    info: FieldInfo | None = None
    for part in name.split("."):
        info = getattr(model, "model_fields", {}).get(part)
        if info is None:
            return None
        model = info.annotation
    return None if hasattr(model, "model_fields") else info


def changed(params: Params, changes: Mapping[str, Any]) -> Params:
    """The params with other values, by their dotted names; UserError if these are not allowed."""
    document = params.model_dump()
    for name, value in changes.items():
        _replace(document, name, value)
    return check_params(document, f"{PARAMS_FILE} with {dict(changes)}")


def edit(path: Path, values: Mapping[str, Any]) -> list[str]:
    """Write values, by their dotted names, into a params file; return a line for each that changed.

    Where the result is not allowed, a UserError is raised, and the file is as it was.
    """
    yaml = YAML()
    yaml.width, yaml.preserve_quotes = WIDTH, True
    document = yaml.load(path)
    former = {name: _replace(document, name, value) for name, value in values.items()}
    changes = [
        f"{name}: {former[name]} -> {new}" for name, new in values.items() if former[name] != new
    ]
    text = StringIO()
    yaml.dump(document, text)
    check_params(YAML(typ="safe", pure=True).load(text.getvalue()), str(path))
    if changes:
        cli.replace_text(path, text.getvalue())
    return changes


def _replace(document: Any, name: str, value: Any) -> Any:
    """Set a value by its dotted name; return the former one."""
    *sections, key = name.split(".")
    for section in sections:
        document = document.setdefault(section, {})
    former = document.get(key)
    document[key] = value
    return former
