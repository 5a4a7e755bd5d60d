"""`make preset`: write the params of a preset, for example NAME=best, into params.yaml.

A preset is a file in `presets/`. It lists only what differs from `presets/default.yaml`. All other
params of `pad` and `train` get their defaults, so two presets never mix. NAME=default restores all
defaults of `pad` and `train`. Other sections do not change. Afterwards, `dvc repro` trains with the
new params.
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sentiment.errors import UserError
from sentiment.section import flatten
from workflow.commands import command, json_option, option, print_result, run_command
from workflow.params import DEFAULTS_FILE, PARAMS_FILE, load_params
from workflow.params_file import TUNABLE_SECTIONS, is_tunable, update_params_file

FOLDER = Path("presets")
DEFAULT = "default"


@command(__doc__)
@option(
    "--name", envvar="NAME", required=True, help="The name of a file in presets/, without .yaml."
)
@json_option
def main(name: str, as_json: bool) -> None:
    values = read_defaults()
    if name != DEFAULT:
        values |= read_preset(name)
    changes = update_params_file(PARAMS_FILE, values)
    text = "\n".join(changes) or f"{PARAMS_FILE} has these values already."
    print_result({"applied": changes}, text, as_json)


def read_defaults() -> dict[str, Any]:
    """Return the defaults of all params that presets set, by their dotted names.

    Raises:
        UserError: the file with the defaults is not valid.
    """
    params = load_params(DEFAULTS_FILE)
    return flatten(params.pad, "pad") | flatten(params.train, "train")


def flatten_mapping(mapping: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by their dotted names."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= flatten_mapping(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def read_preset(name: str) -> dict[str, Any]:
    """Return the values of a preset by their dotted names.

    Raises:
        UserError: the preset is missing, or not valid, or sets other values than tunable params.
    """
    path = FOLDER / f"{name}.yaml"
    try:
        document = YAML(typ="safe", pure=True).load(path)
        values = flatten_mapping(document) if isinstance(document, dict) else None
    except FileNotFoundError:
        presets = ", ".join(sorted(preset.stem for preset in FOLDER.glob("*.yaml")))
        raise UserError(f"{path} does not exist. Use one of these names: {presets}.") from None
    except (YAMLError, ValueError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if values is None:
        raise UserError(f"{path} is not a mapping of params to values. Write it as `name: value`.")
    for key in values:
        if not is_tunable(str(key)):
            sections = " or ".join(TUNABLE_SECTIONS)
            raise UserError(f"{path}: {key} is not a param of {sections}. Remove it.")
    return values


if __name__ == "__main__":
    run_command("make preset", main)
