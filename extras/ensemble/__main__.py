"""`make ensemble RUNS="…"`: combine evaluated models into one, by the mean of their log-odds.

The models may have different architectures and params of `pad`, but need the same reviews. RUNS
names them as `make compare` does, separated by spaces, such as the ids of runs or of seed groups.
Each name has the same weight, and the models of a seed group share theirs. The ensemble is a run
of its own in MLflow, evaluated as a training is, and a version of the registered model.
"""

from workflow import commands


@commands.command(__doc__)
@commands.option(
    "--runs", envvar="RUNS", required=True, help="Ids of runs or seed groups, separated by spaces."
)
@commands.json_option
def main(runs: str, as_json: bool) -> None:
    # This imports SciPy and Matplotlib, which would delay --help by seconds.
    from extras.ensemble import run

    with commands.stdout_to_stderr(as_json):
        ensemble = run.create_ensemble(runs.split())
    commands.print_result(ensemble, run.format_result(ensemble), as_json)


if __name__ == "__main__":
    commands.run_command("make ensemble", main)
