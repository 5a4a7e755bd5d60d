"""`make preset`: write the params of a preset, NAME=best say, into params.yaml, for `dvc repro`.

A preset is a file in `presets/`. It has what differs from `presets/notebook.yaml`, whose values all
other params of `pad` and `train` get: two presets never mix. NAME=notebook goes back.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sentiment.errors import UserError
from sentiment.params import PARAMS_FILE, parameter
from tools.running import cli, settings

FOLDER = Path("presets")
NOTEBOOK = "notebook"


@cli.command(__doc__)
@cli.option("--name", variable="NAME", default=NOTEBOOK, help="File in presets/, without .yaml.")
@cli.json_option
def main(name: str, as_json: bool) -> None:
    changes = settings.edit(PARAMS_FILE, read(NOTEBOOK) | read(name))
    printed = "\n".join(changes) or f"{PARAMS_FILE} has these values already."
    cli.report({"applied": changes}, printed, as_json)


def read(name: str) -> dict[str, Any]:
    """The values of a preset, by dotted names.

    Raises:
        UserError: there is no such preset, or it has a key that params.yaml does not have.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(each.stem for each in FOLDER.glob("*.yaml"))) or "none"
        raise UserError(f"There is no preset {name}. In {FOLDER}/: {there}.")
    try:
        values = dict(flat(YAML(typ="safe", pure=True).load(path) or {}))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    unknown = [key for key in values if parameter(key) is None]
    if unknown:
        raise UserError(f"{path}: params.yaml has no {' and no '.join(unknown)}.")
    return values


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings, by dotted names."""
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


if __name__ == "__main__":
    cli.run("make preset", main)
