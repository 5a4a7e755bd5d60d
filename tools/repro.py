"""`make repro`: run the pipeline by `dvc repro`, on the synthetic set where IMDB is out of reach.

Where DVC has a default remote, what that has is pulled in place of being run. What DVC restored
from its cache, or a tracking store that failed does not have, is logged afterwards.
"""

from sentiment.data.params import FetchParams
from sentiment.errors import UserError
from tools import sync
from workflow import cli, downloads, dvc, files, params_file
from workflow.params import PARAMS_FILE, load_params
from workflow.runs import store

SYNTHETIC = "SYNTHETIC DATA (fetch.dataset in params.yaml): the metrics are NOT IMDB's."
FALLBACK = f"""
IMDB is out of reach, see above, so this continues with the synthetic set:
params.yaml now says fetch.dataset: synthetic. Set it back to imdb and run
`make repro` again once the files are within reach.
{SYNTHETIC}
"""


@cli.command(__doc__)
def main() -> int:
    wanted = load_params().fetch
    status = reproduce()
    if status and not_fetched(wanted):
        obtain_or_fall_back(wanted)
        status = reproduce()
    if not status:
        with store.tolerating_errors(
            f"{files.DATA} is complete, `make sync` logs it to the tracking store"
        ):
            print(sync.describe(sync.synchronize()))
    if load_params().fetch.dataset == "synthetic":
        print(SYNTHETIC)
    return status


def reproduce() -> int:
    """Run what has changed, but for what DVC's remote has, if there is one; return DVC's status."""
    remote = dvc.remote()
    problem = dvc.why_not(remote) if remote else ""
    if problem:
        print(f"The DVC remote {remote} cannot be used, so all is run here: {problem}", flush=True)
    if problem or not remote:
        return dvc.run("repro")
    print(f"What the DVC remote {remote} has is taken from there, and not run.", flush=True)
    return dvc.run("repro", "--pull")


def not_fetched(wanted: FetchParams) -> bool:
    """Whether IMDB is wanted and `fetch` has not got it."""
    try:
        fetched = files.read_about(files.FETCH)["params"]["fetch.dataset"]
    except UserError:
        fetched = None
    return wanted.dataset == "imdb" and fetched != "imdb"


def obtain_or_fall_back(wanted: FetchParams) -> None:
    """Try once more to get IMDB, and set the synthetic set in its place if it is out of reach."""
    try:
        downloads.imdb(wanted)
    except downloads.Unreachable:
        params_file.edit(PARAMS_FILE, {"fetch.dataset": "synthetic"})
        print(FALLBACK, flush=True)


if __name__ == "__main__":
    cli.run("make repro", main)
