"""`make docs`: write docs/params.md from the classes of the params and their defaults."""

import json
from pathlib import Path
from typing import Any

from pydantic import create_model
from pydantic.fields import FieldInfo

from sentiment.section import Section
from workflow.commands import command, run_command
from workflow.files import write_text_atomically
from workflow.params import DEFAULTS_FILE, Params, load_params

PAGE = Path("docs", "params.md")
LIMIT_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
INTRODUCTION = """\
# Params

This page lists every param of [params.yaml](../params.yaml). `make docs` writes it from the
classes of the params. The defaults come from
[presets/default.yaml](../presets/default.yaml).

An unknown key, a wrong type or a value that is not allowed stops the pipeline with a message before
anything is written. Some limits depend on other values: for example, `train.heads` must divide
`train.embedding_units`. The message then names all of them.

If you change a param, `dvc repro` reruns the stages that depend on it: for `fetch`, all stages; for
`pad`, all but `fetch`; for `train`, `train` and `evaluate`; for `evaluate` and `promote`, only
`evaluate`.
"""
TABLE_HEAD = ["| param | allowed | default | description |", "| --- | --- | --- | --- |"]


@command(__doc__)
def main() -> None:
    write_text_atomically(PAGE, render_page(load_params(DEFAULTS_FILE)))
    print(f"{PAGE} now agrees with {DEFAULTS_FILE} and the code.")


def render_page(defaults: Params) -> str:
    """Return the page about the params: a table a section, a row a param."""
    sections = [
        render_section(name, str(field.description), getattr(defaults, name))
        for name, field in Params.model_fields.items()
    ]
    return "\n".join([INTRODUCTION, *sections])


def render_section(name: str, description: str, section: Section) -> str:
    """Return the heading, the table and the subsections of a section.

    Args:
        name: the dotted name.
        description: description of the section.
        section: the default values.
    """
    rows = []
    subsections = []
    for key, field in type(section).model_fields.items():
        full_name = f"{name}.{key}"
        value = getattr(section, key)
        if isinstance(value, Section):
            subsections.append(render_section(full_name, str(field.description), value))
        else:
            rows.append(render_row(full_name, field, value))
    heading = f"{'#' * (name.count('.') + 2)} {name}"
    return "\n".join([heading, "", description, "", *TABLE_HEAD, *rows, "", *subsections])


def render_row(name: str, field: FieldInfo, default: Any) -> str:
    """Return the row of a param in the table of its section."""
    definition: dict[str, Any] = {"value": (field.annotation, field)}
    schema = create_model(name, **definition).model_json_schema()["properties"]["value"]
    text = default if isinstance(default, str) else json.dumps(default)
    return f"| `{name}` | {describe_limits(schema)} | `{text}` | {field.description} |"


def describe_limits(schema: dict[str, Any]) -> str:
    """Return in words which values a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(describe_limits(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema["type"] == "array":
        return f"list, {schema.get('minItems', 0)} or more: {describe_limits(schema['items'])}"
    limits = [f"{sign} {schema[key]:,}" for key, sign in LIMIT_SIGNS.items() if key in schema]
    return ", ".join([schema["type"], *limits])


if __name__ == "__main__":
    run_command("make docs", main)
