"""The newcomer's command: `dvc repro`, and on the synthetic set where IMDB cannot be had.

What DVC restored from its cache, or a store did not take, is told to the store afterwards.
"""

import io
from pathlib import Path

from ruamel.yaml import YAML

from sentiment import files
from sentiment.data.imdb import Unreachable, obtain
from sentiment.errors import UserError, explain
from sentiment.params import PARAMS_FILE, Params, load_params
from sentiment.pipeline import FETCH
from sentiment.process import run_command
from tools import sync
from tools.running import dvc

RULE = "#" * 78
SYNTHETIC = f"""
{RULE}
##  SYNTHETIC DATA (fetch.dataset in params.yaml): the figures are NOT IMDB's.
{RULE}
"""
FALLBACK = """
IMDB could not be had, see above, so this goes on with the synthetic set:
params.yaml now says fetch.dataset: synthetic. Set it back to imdb and run
`make repro` again once the files can be had.
"""


def main() -> int:
    """Run the pipeline; return DVC's exit status."""
    params = load_params()
    announce(params)
    status = dvc.run("repro")
    if status and not_fetched(params):
        params = obtain_or_fall_back(params)
        status = dvc.run("repro")
    if not status:
        tell_the_store()
    announce(params)
    return status


def tell_the_store() -> None:
    """Let the store tell what `data/` holds; one that fails makes no failure of a good pipeline."""
    try:
        sync.main()
    except (UserError, OSError) as error:
        print(explain(error, "`make sync`"))
        print(f"The files in {files.DATA} are whole: run `make sync` once it works.")


def announce(params: Params) -> None:
    """Say loudly when the figures are not IMDB's."""
    if params.fetch.dataset == "synthetic":
        print(SYNTHETIC, flush=True)


def not_fetched(params: Params) -> bool:
    """Whether IMDB is wanted and `fetch` has not got it."""
    try:
        fetched = files.read_about(FETCH)["params"]["fetch.dataset"]
    except UserError:
        fetched = None
    return params.fetch.dataset == "imdb" and fetched != "imdb"


def obtain_or_fall_back(params: Params) -> Params:
    """Try once more to get IMDB, and set the synthetic set in its place if it is out of reach."""
    try:
        obtain(params.fetch)
    except Unreachable:
        set_dataset(PARAMS_FILE, "synthetic")
        print(FALLBACK, flush=True)
        params = load_params()
        announce(params)
    return params


def set_dataset(path: Path, dataset: str) -> None:
    """Set `fetch.dataset` in a params file, keeping comments and layout."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = yaml.load(path)
    document["fetch"]["dataset"] = dataset
    text = io.StringIO()
    yaml.dump(document, text)
    files.replace_text(path, text.getvalue())


if __name__ == "__main__":
    run_command("make repro", main)
