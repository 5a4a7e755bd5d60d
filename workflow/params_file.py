"""Look up params by their dotted names, and change `params.yaml` without losing its comments."""

import shutil
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from workflow import files
from workflow.params import PARAMS_FILE, Params, load_params, validate_params

TUNABLE_SECTIONS = ("pad", "train")  # presets set these params, and sweeps search them
MAX_LINE_WIDTH = 10_000  # a longer line would be wrapped, and its comment moved


def find_field(name: str) -> FieldInfo | None:
    """Return the field of a param, given by its dotted name, or None without such a param."""
    model: Any = Params
    field: FieldInfo | None = None
    for part in name.split("."):
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return None
        model = field.annotation
    is_section = hasattr(model, "model_fields")
    return None if is_section else field


def is_tunable(name: str) -> bool:
    """Return whether presets and sweeps may set the param of this dotted name."""
    return name.split(".")[0] in TUNABLE_SECTIONS and find_field(name) is not None


def with_changes(params: Params, changes: Mapping[str, Any]) -> Params:
    """Return the params with other values, given by their dotted names.

    Raises:
        UserError: a name or a value is not allowed.
    """
    document = params.model_dump()
    for name, value in changes.items():
        _set_value(document, name, value)
    return validate_params(document, f"{PARAMS_FILE} with {dict(changes)}")


def update_params_file(path: Path, values: Mapping[str, Any]) -> list[str]:
    """Write values, given by their dotted names, into a params file.

    Comments, line ends, the file's mode and a link to it stay as they are. The file does not change
    if the result is not allowed, or if it has these values already.

    Returns:
        One line for each param that changed, with its previous and its new value.

    Raises:
        UserError: the file is not valid, or would not be valid with these values.
    """
    load_params(path)
    text = path.read_text(encoding="utf-8")  # Python turns each line end into "\n"
    yaml = YAML()
    yaml.width = MAX_LINE_WIDTH
    yaml.preserve_quotes = True
    document = yaml.load(text)
    changes = []
    for name, value in values.items():
        previous = _set_value(document, name, value)
        if previous != value:
            changes.append(f"{name}: {previous} -> {value}")
    updated = StringIO()
    yaml.dump(document, updated)
    # Parse the text as the pipeline will: ruamel's own mappings hide, for example, duplicate keys.
    validate_params(YAML(typ="safe", pure=True).load(updated.getvalue()), str(path))
    if changes:
        _replace_text(path, updated.getvalue())
    return changes


def _replace_text(path: Path, text: str) -> None:
    """Replace the text of a file as a whole, with its line ends and its mode."""
    line_end = "\r\n" if b"\r\n" in path.read_bytes() else "\n"
    with files.atomic_file(path.resolve()) as partial:
        partial.write_text(text, encoding="utf-8", newline=line_end)
        shutil.copymode(path, partial)


def _set_value(document: Any, name: str, value: Any) -> Any:
    """Set a value by its dotted name and return the previous one."""
    *sections, key = name.split(".")
    for section in sections:
        document = document.setdefault(section, {})
    previous = document.get(key)
    document[key] = value
    return previous
