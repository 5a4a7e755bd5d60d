"""`make docs`: write docs/params.md from the shipped `params.yaml` and the code's limits."""

from pathlib import Path
from typing import Any

from pydantic import create_model

from workflow import cli
from workflow.params_file import SETTING, parameter

PAGE = Path("docs", "params.md")
DEFAULTS = Path("tests", "default_params.yaml")  # users change params.yaml
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
HEAD = """\
# Parameters

Every setting of [params.yaml](../params.yaml), made by `make docs` from its comments and from the
limits in the code. An unknown key, a wrong type or a value that is not allowed stops the pipeline
with a message before anything is written. Some limits depend on other values: `pad.num_words`, say,
must leave room for the special tokens. The message then names them all.

A change runs again what depends on it: one of `fetch` everything, one of `pad` all but `fetch`, one
of `train` both `train` and `evaluate`, and one of `evaluate` or `promote` only `evaluate`.
"""


@cli.command(__doc__)
def main() -> None:
    cli.replace_text(PAGE, page(DEFAULTS.read_text(encoding="utf-8")))
    print(f"{PAGE} is as {DEFAULTS} and the code say.")


def page(text: str) -> str:
    """The page about the settings of a params file: a table a section, a row a parameter."""
    tables, path = dict[str, list[str]](), list[str]()
    for line in filter(None, map(SETTING.fullmatch, text.splitlines())):
        path = [*path[: len(line["indent"]) // 2], line["key"]]
        name, meaning = ".".join(path), line["comment"]
        info = parameter(name)
        if info is None:
            tables[name] = [
                f"{'#' * (len(path) + 1)} {name}",
                "",
                f"{meaning[0].upper()}{meaning[1:]}.",
                "",
                "| parameter | default | allowed | meaning |",
                "| --- | --- | --- | --- |",
            ]
            continue
        fields: dict[str, Any] = {"value": (info.annotation, info)}
        schema = create_model(name, **fields).model_json_schema()["properties"]["value"]
        choices = " | ".join(schema.get("enum", []))  # which have a column of their own
        value = line["setting"].partition(": ")[2].strip() or "null"
        row = (
            f"| `{name}` | `{value}` | {allowed(schema)} | {meaning.removeprefix(f'{choices}: ')} |"
        )
        tables[".".join(path[:-1])].append(row)
    return "\n".join([HEAD, *("\n".join([*lines, ""]) for lines in tables.values())])


def allowed(schema: dict[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(allowed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "pattern" in schema:
        return f"`{schema['pattern']}`"
    if schema["type"] == "array":
        return f"list, {schema.get('minItems', 0)} or more: {allowed(schema['items'])}"
    bounds = [f"{sign} {schema[key]:,}" for key, sign in SIGNS.items() if key in schema]
    return ", ".join([schema["type"], *bounds])


if __name__ == "__main__":
    cli.run("make docs", main)
