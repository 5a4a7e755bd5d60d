"""The newcomer's command: `dvc repro`, and on the synthetic set where IMDB cannot be had."""

import io
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from stages import files
from stages.command import UserError
from stages.fetch import FOLDER, Unreachable, obtain
from stages.params import PARAMS_FILE, Params, load_params

NOTICE = """
##############################################################################
##  SYNTHETIC DATA: IMDB could not be reached. The figures of this run are   ##
##  NOT IMDB's. params.yaml says fetch.dataset: synthetic; set it back to    ##
##  imdb and run `make repro` again once the files can be had.               ##
##############################################################################
"""


def main() -> int:
    """Run the pipeline; return DVC's exit status."""
    params = load_params()
    announce(params)
    status = dvc_repro()
    if status and imdb_is_out_of_reach(params):
        set_dataset(PARAMS_FILE, "synthetic")
        params = load_params()
        announce(params)
        status = dvc_repro()
    announce(params)
    return status


def dvc_repro() -> int:
    """Run `dvc repro` and return its exit status."""
    return subprocess.run([sys.executable, "-m", "dvc", "repro"], check=False).returncode


def announce(params: Params) -> None:
    """Say loudly when the figures are not IMDB's."""
    if params.fetch.dataset == "synthetic":
        print(NOTICE, flush=True)


def imdb_is_out_of_reach(params: Params) -> bool:
    """Whether `fetch` cannot have worked, for want of the files."""
    if params.fetch.dataset != "imdb" or fetched() == "imdb":
        return False
    try:
        obtain(params.fetch)
    except Unreachable:
        return True
    return False


def fetched() -> str | None:
    """Which data set is in `data/fetch`."""
    try:
        dataset: str = files.read_about(FOLDER)["params"]["fetch.dataset"]
    except UserError:
        return None
    return dataset


def set_dataset(path: Path, dataset: str) -> None:
    """Set `fetch.dataset` in a params file, keeping comments and layout."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = yaml.load(path)
    document["fetch"]["dataset"] = dataset
    text = io.StringIO()
    yaml.dump(document, text)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"make repro: {error}")
