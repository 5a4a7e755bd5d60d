"""`make repro`: run the pipeline with `dvc repro`, on the synthetic dataset if IMDB is unavailable.

If DVC has a default remote, outputs are pulled from it instead of being computed. Afterwards,
everything that MLflow lacks is logged.
"""

from sentiment.data.params import FetchParams
from sentiment.errors import UserError
from workflow import downloads, dvc_commands, files, params_file
from workflow.about import AboutFetch, read_about
from workflow.commands import command, run_command
from workflow.params import PARAMS_FILE, load_params
from workflow.publish import publish_or_explain

SYNTHETIC_NOTE = "SYNTHETIC DATA (fetch.dataset in params.yaml): the metrics are NOT IMDB's."
FALLBACK_NOTE = f"""
IMDB is unavailable, see above, so this continues with the synthetic dataset:
params.yaml now says fetch.dataset: synthetic. Set it back to imdb and run
`make repro` again once the files are available.
{SYNTHETIC_NOTE}
"""


@command(__doc__)
def main() -> int:
    params = load_params().fetch
    status = run_pipeline()
    if status and is_imdb_missing(params):
        use_synthetic_if_unavailable()
        status = run_pipeline()
    if not status:
        run = publish_or_explain(files.DATA)
        if run:
            print(run.describe())
    if load_params().fetch.dataset == "synthetic":
        print(SYNTHETIC_NOTE)
    return status


def run_pipeline() -> int:
    """Run the stages that changed, or pull them from DVC's remote; return DVC's exit status."""
    remote = dvc_commands.default_remote()
    if not remote:
        return dvc_commands.run_dvc("repro")
    problem = dvc_commands.remote_problem()
    if problem:
        print(
            f"The DVC remote {remote} cannot be used, so every stage runs here: {problem}",
            flush=True,
        )
        return dvc_commands.run_dvc("repro")
    print(f"Outputs are pulled from the DVC remote {remote} if it has them.", flush=True)
    return dvc_commands.run_dvc("repro", "--pull")


def is_imdb_missing(params: FetchParams) -> bool:
    """Return whether the params select IMDB and `data/fetch` has another dataset or none."""
    if params.dataset != "imdb":
        return False
    try:
        return read_about(files.FETCH, AboutFetch).dataset.dataset != "imdb"
    except UserError:
        return True


def use_synthetic_if_unavailable() -> None:
    """Try once more to download IMDB, and write `fetch.dataset: synthetic` if that fails."""
    try:
        downloads.fetch_imdb()
    except downloads.ImdbUnavailableError:
        params_file.update_params_file(PARAMS_FILE, {"fetch.dataset": "synthetic"})
        print(FALLBACK_NOTE, flush=True)


if __name__ == "__main__":
    run_command("make repro", main)
