"""`make ensemble RUNS="…"`: several evaluated models as one, by the mean of their log-odds.

RUNS names them as `make compare` does, separated by spaces: the ids of runs or of groups of seeds,
say. Each has the same weight, and the models of a group share theirs. The ensemble is a run of its
own in MLflow, evaluated as a training is, and a version of the registered model.
"""

from workflow import cli


@cli.command(__doc__)
@cli.option("--runs", variable="RUNS", required=True, help="Which models, separated by spaces.")
@cli.json_option
def main(runs: str, as_json: bool) -> None:
    from tools.ensembling import run  # imports SciPy and Matplotlib: seconds before --help

    with cli.output_kept(as_json):
        made = run.make(runs.split())
    cli.report(made._asdict(), run.summary(made), as_json)


if __name__ == "__main__":
    cli.run("make ensemble", main)
