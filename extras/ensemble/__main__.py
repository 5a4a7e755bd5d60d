"""`make ensemble RUNS="…"`: several evaluated models as one, by the mean of their log-odds.

RUNS names them as `make compare` does, separated by spaces: the ids of runs or of groups of seeds,
say. Each has the same weight, and the models of a group share theirs. The ensemble is a run of its
own in MLflow, evaluated as a training is, and a version of the registered model.
"""

from workflow import commands


@commands.command(__doc__)
@commands.option("--runs", envvar="RUNS", required=True, help="Which models, separated by spaces.")
@commands.json_option
def main(runs: str, as_json: bool) -> None:
    from extras.ensemble import ensemble_run  # imports SciPy and Matplotlib: seconds before --help

    with commands.stdout_to_stderr(as_json):
        ensemble = ensemble_run.make(runs.split())
    commands.print_result(ensemble, ensemble_run.summary(ensemble), as_json)


if __name__ == "__main__":
    commands.run_command("make ensemble", main)
