"""`make docs`: write docs/params.md, and the comments of `params.yaml`, from `sentiment.params`.

Those of `server.yaml` are from `tools.team.settings`. There each setting has its limits and a
description with unit and reason; nothing of it is written twice.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sentiment import files
from sentiment.params import PARAMS_FILE, Params, load_params
from sentiment.settings import Section
from tools.running import cli
from tools.running.settings import SETTING, with_comment
from tools.team.settings import FILE, Server

PAGE = Path("docs", "params.md")
COMMENTED: dict[Path, type[Section]] = {
    PARAMS_FILE: Params,
    Path("tests", "default_params.yaml"): Params,
    FILE: Server,
}
SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
HEAD = """\
# Parameters

Every setting of `params.yaml`, made by `make docs` from
[sentiment/params.py](../sentiment/params.py). An unknown key, a wrong type or a value that is not
allowed stops the pipeline with a message before anything is written. Some limits depend on other
values: `pad.num_words`, say, must leave room for the marks. The message then names them all.

Change one for good by editing the file and running `dvc repro`; try one with
`dvc exp run -S train.units=32`. A change runs again what depends on it: one of `fetch` everything,
one of `pad` all but `fetch`, one of `train` both `train` and `evaluate`, one of `evaluate` or
`promote` only `evaluate`, and one of `compare`, `sweep` or `predict` nothing.
"""


@cli.command(__doc__)
def main() -> None:
    files.replace_text(PAGE, page(load_params()))
    for path, kind in COMMENTED.items():
        files.replace_text(path, commented(path.read_text(encoding="utf-8"), kind))
    print(f"{PAGE} and the comments of {PARAMS_FILE} and {FILE} are as the code says.")


def page(params: Params) -> str:
    """The page, with the values of `params` as defaults."""
    sections = [part for name, value in params for part in section((name,), value)]
    return "\n".join([HEAD, *sections])


def section(path: tuple[str, ...], values: BaseModel) -> Iterator[str]:
    """The table of a section of `params.yaml`, and then those of the sections in it."""
    nested = [name for name, value in values if isinstance(value, BaseModel)]
    properties = type(values).model_json_schema()["properties"]
    rows = [
        f"| `{'.'.join([*path, name])}` | `{shown(value)}` | {allowed(properties[name])} "
        f"| {field([*path, name]).description} |"
        for name, value in values
        if name not in nested
    ]
    head = ["| parameter | default | allowed | meaning |", "| --- | --- | --- | --- |"]
    title = f"{'#' * (len(path) + 1)} {'.'.join(path)}"
    yield "\n".join([title, "", sentence(field(path).description or ""), "", *head, *rows, ""])
    for name in nested:
        yield from section((*path, name), getattr(values, name))


def sentence(description: str) -> str:
    """A description as a sentence of its own."""
    return f"{description[:1].upper()}{description[1:]}."


def field(path: Sequence[str], kind: type[Section] = Params) -> FieldInfo:
    """What the model says of a setting or a section."""
    model: Any = kind
    for name in path[:-1]:
        model = model.model_fields[name].annotation
    found: FieldInfo = model.model_fields[path[-1]]
    return found


def shown(value: Any) -> str:
    """A value as `params.yaml` writes it; digests are shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"{len(value)} of them"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text[:8]}…" if len(text) == 64 else text


def allowed(schema: dict[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(allowed(each) for each in schema["anyOf"])
    if schema.get("type") == "object":
        return "names with values"
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


def commented(text: str, kind: type[Section] = Params) -> str:
    """The text of a file of settings with the description of each setting as its comment."""
    lines, path = [], list[str]()
    for line in text.splitlines():
        found = SETTING.fullmatch(line)
        if found:
            path = [*path[: len(found["indent"]) // 2], found["key"]]
            lines.append(with_comment(found["setting"], comment(path, kind)))
        else:
            lines.append(line)
    return "\n".join([*lines, ""])


def comment(path: Sequence[str], kind: type[Section] = Params) -> str:
    """The comment of a setting: its choices, if it is one of a few, and its description."""
    info = field(path, kind)
    choices = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
    return ": ".join(filter(None, [" | ".join(choices), info.description]))


if __name__ == "__main__":
    cli.run("make docs", main)
