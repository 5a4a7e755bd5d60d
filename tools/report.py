"""`make report`: one page about the training in `data/`: what was run, how good it is, its errors.

Writes `reports/report.html`, which needs no other file and no network, and logs it to the
training's MLflow run. It is made from the stages' files alone: the model is not loaded.
"""

from workflow import cli


@cli.command(__doc__)
def main() -> None:
    from tools.pages import report  # imports SciPy and Matplotlib: seconds before --help

    print(report.make())


if __name__ == "__main__":
    cli.run("make report", main)
