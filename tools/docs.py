"""`make docs`: write docs/params.md from the shipped `params.yaml` and the code's limits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from workflow import cli
from workflow.params import Params, load_params
from workflow.params_file import SETTING

PAGE = Path("docs", "params.md")
DEFAULTS = Path("tests", "default_params.yaml")  # users change params.yaml
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
HEAD = """\
# Parameters

Every setting of [params.yaml](../params.yaml), made by `make docs` from its comments and from the
limits in the code. An unknown key, a wrong type or a value that is not allowed stops the pipeline
with a message before anything is written. Some limits depend on other values: `pad.num_words`, say,
must leave room for the marks. The message then names them all.

Change one for good by editing the file and running `dvc repro`; try one with
`dvc exp run -S train.units=32`. A change runs again what depends on it: one of `fetch` everything,
one of `pad` all but `fetch`, one of `train` both `train` and `evaluate`, and one of `evaluate` or
`promote` only `evaluate`. What is optional has its settings in files of its own.
"""


@cli.command(__doc__)
def main() -> None:
    cli.replace_text(PAGE, page(load_params(DEFAULTS), DEFAULTS.read_text(encoding="utf-8")))
    print(f"{PAGE} is as {DEFAULTS} and the code say.")


def page(params: Params, text: str) -> str:
    """The page: the values of `params`, and what the text of their file says of each."""
    meanings = comments(text)
    sections = [part for name, value in params for part in section((name,), value, meanings)]
    return "\n".join([HEAD, *sections])


def comments(text: str) -> dict[str, str]:
    """The comment of each setting and section of a YAML file, by its dotted name."""
    comments, path = {}, list[str]()
    for line in text.splitlines():
        setting = SETTING.fullmatch(line)
        if setting:
            path = [*path[: len(setting["indent"]) // 2], setting["key"]]
            comments[".".join(path)] = setting["comment"] or ""
    return comments


def section(path: tuple[str, ...], values: BaseModel, meanings: dict[str, str]) -> Iterator[str]:
    """The table of a section of `params.yaml`, and then those of the sections in it."""
    nested = [name for name, value in values if isinstance(value, BaseModel)]
    name = ".".join(path)
    properties = type(values).model_json_schema()["properties"]
    lines = [
        f"{'#' * (len(path) + 1)} {name}",
        "",
        f"{meanings[name][:1].upper()}{meanings[name][1:]}.",
        "",
        "| parameter | default | allowed | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for key, value in values:
        if key not in nested:
            schema = properties[key]
            choices = " | ".join(schema.get("enum", []))  # which have a column of their own
            meaning = meanings[f"{name}.{key}"].removeprefix(f"{choices}: ")
            lines.append(f"| `{name}.{key}` | `{shown(value)}` | {allowed(schema)} | {meaning} |")
    yield "\n".join([*lines, ""])
    for key in nested:
        yield from section((*path, key), getattr(values, key), meanings)


def shown(value: Any) -> str:
    """A value as `params.yaml` writes it; digests are shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text[:8]}…" if len(text) == 64 else text


def allowed(schema: dict[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(allowed(option) for option in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "pattern" in schema:
        return f"`{schema['pattern']}`"
    if schema["type"] == "boolean":
        return "`true`, `false`"
    if schema["type"] == "array":
        return f"list, {schema.get('minItems', 0)} or more: {allowed(schema['items'])}"
    bounds = [f"{sign} {schema[key]:,}" for key, sign in SIGNS.items() if key in schema]
    return ", ".join([schema["type"], *bounds])


if __name__ == "__main__":
    cli.run("make docs", main)
