"""`make docs`: write docs/params.md from the shipped `params.yaml` and the limits in the code."""

from pathlib import Path
from typing import Any

from pydantic import create_model

from workflow.commands import command, run_command
from workflow.files import write_text_atomically
from workflow.params_file import PARAM_LINE, find_field

PAGE = Path("docs", "params.md")
DEFAULTS = Path("tests", "default_params.yaml")  # users change params.yaml
LIMIT_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
INTRODUCTION = """\
# Params

This page lists every param of [params.yaml](../params.yaml). `make docs` writes it from the
comments there and the limits in the code. An unknown key, a wrong type or a value that is not
allowed stops the pipeline with a message before anything is written. Some limits depend on other
values: for example, `pad.num_words` must leave room for the special tokens. The message then names
all of them.

If you change a param, `dvc repro` reruns the stages that depend on it: for `fetch`, all stages; for
`pad`, all but `fetch`; for `train`, `train` and `evaluate`; for `evaluate` and `promote`, only
`evaluate`.
"""
TABLE_HEAD = ["| param | default | allowed | meaning |", "| --- | --- | --- | --- |"]


@command(__doc__)
def main() -> None:
    write_text_atomically(PAGE, render_page(DEFAULTS.read_text(encoding="utf-8")))
    print(f"{PAGE} now agrees with {DEFAULTS} and the code.")


def render_page(params_yaml: str) -> str:
    """Return the page about the params of a params file: a table a section, a row a param."""
    lines_by_section: dict[str, list[str]] = {}
    path: list[str] = []
    for line in filter(None, map(PARAM_LINE.fullmatch, params_yaml.splitlines())):
        depth = len(line["indent"]) // 2
        path = [*path[:depth], line["key"]]
        name = ".".join(path)
        comment = line["comment"] or ""
        field = find_field(name)
        if field is None:
            heading = f"{'#' * (depth + 2)} {name}"
            meaning = [f"{comment[0].upper()}{comment[1:]}.", ""] if comment else []
            lines_by_section[name] = [heading, "", *meaning, *TABLE_HEAD]
            continue
        definition: dict[str, Any] = {"value": (field.annotation, field)}
        schema = create_model(name, **definition).model_json_schema()["properties"]["value"]
        choices = " | ".join(schema.get("enum", []))
        meaning_text = comment.removeprefix(f"{choices}: ")  # choices have a column of their own
        default = line["param"].partition(": ")[2].strip() or "null"
        row = f"| `{name}` | `{default}` | {describe_limits(schema)} | {meaning_text} |"
        section = ".".join(path[:-1])
        lines_by_section[section].append(row)
    sections = ("\n".join([*lines, ""]) for lines in lines_by_section.values())
    return "\n".join([INTRODUCTION, *sections])


def describe_limits(schema: dict[str, Any]) -> str:
    """Return in words which values a JSON schema allows."""
    if "anyOf" in schema:
        return " or ".join(describe_limits(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "pattern" in schema:
        return f"`{schema['pattern']}`"
    if schema["type"] == "array":
        return f"list, {schema.get('minItems', 0)} or more: {describe_limits(schema['items'])}"
    limits = [f"{sign} {schema[key]:,}" for key, sign in LIMIT_SIGNS.items() if key in schema]
    return ", ".join([schema["type"], *limits])


if __name__ == "__main__":
    run_command("make docs", main)
