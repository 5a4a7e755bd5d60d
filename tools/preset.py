"""`make preset`: write the params of a preset, NAME=best say, into params.yaml, for `dvc repro`.

A preset is a file in `presets/`. It has what differs from `presets/notebook.yaml`, whose values all
other params of `pad` and `train` get: two presets never mix. NAME=notebook goes back.
"""

from pathlib import Path
from typing import Any

from dvc.utils.flatten import flatten
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sentiment.errors import UserError
from workflow import cli, params_file
from workflow.params import PARAMS_FILE, load_params
from workflow.params_file import SEARCHED, parameter

FOLDER = Path("presets")
NOTEBOOK = "notebook"


@cli.command(__doc__)
@cli.option("--name", variable="NAME", required=True, help="A file in presets/, without .yaml.")
@cli.json_option
def main(name: str, as_json: bool) -> None:
    load_params()  # one that lacks a key is told so
    changes = params_file.edit(PARAMS_FILE, read(NOTEBOOK) | read(name))
    printed = "\n".join(changes) or f"{PARAMS_FILE} has these values already."
    cli.report({"applied": changes}, printed, as_json)


def read(name: str) -> dict[str, Any]:
    """The values of a preset, by dotted names; UserError if there are others than parameters."""
    path = FOLDER / f"{name}.yaml"
    try:
        document = YAML(typ="safe", pure=True).load(path)
        values = flatten(document) if isinstance(document, dict) else {"": document}
    except (YAMLError, ValueError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    names = map(str, values)
    unknown = [key for key in names if parameter(key) is None or key.split(".")[0] not in SEARCHED]
    if unknown:
        raise UserError(f"{path}: {unknown[0] or 'it'} is no parameter of {' or '.join(SEARCHED)}.")
    return values


if __name__ == "__main__":
    cli.run("make preset", main)
