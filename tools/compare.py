"""`make compare`: what changed between two trainings, or groups of them, and what it did.

A is the champion and B this workspace, unless they are named: `workspace`, `champion`, an MLflow
run's id, the id of a group's parent run (`make seeds`), a DVC experiment or a git revision.
Writes `reports/compare-<a>-<b>/` and adds it to both runs.
"""

import argparse
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from sentiment import files
from sentiment.errors import UserError, first_line
from sentiment.params import load_params
from sentiment.process import run_command
from sentiment.runs import store
from tools.comparing import comparison, sides, trainings
from tools.comparing import plots as comparison_figures
from tools.comparing import text as comparison_text
from tools.comparing.comparison import Comparison
from tools.pages import page

REPORTS = Path("reports")
PLACE = "compare"  # where reports are in a run, and how tags with the sentence begin
FORBIDDEN_IN_NAMES = re.compile(r"[^\w.-]+")
PICTURES = {
    "accuracy": "Accuracy by epoch of A and B, in training and validation",
    "reliability": "Share of positive reviews against predicted probability, of A and B",
    "groups": "Difference of accuracy by kind of review, with intervals",
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--a", default=sides.CHAMPION, help="what to compare with")
    parser.add_argument("--b", default=sides.WORKSPACE, help="what is compared")
    return parser.parse_args()


def main() -> None:
    asked = parse()
    params = load_params()
    with tempfile.TemporaryDirectory() as scratch:
        pair = [
            sides.read(name, Path(scratch) / letter)
            for letter, name in (("a", asked.a), ("b", asked.b))
        ]
    find = in_store()
    a, b = (sides.located(side, find) if find else side for side in pair)
    trainings.check_comparable(a, b)
    found = comparison.compare(a, b, sides.read_corpus(a, b), params.compare)
    folder = REPORTS / FORBIDDEN_IN_NAMES.sub("-", f"compare-{a.label}-{b.label}")
    write(folder, found, comparison_figures.draw(found, params.evaluate))
    print(comparison_text.summary(found), end="\n\n")
    if find:
        log(folder, found, find)
    print(f"The whole report: {folder / 'report.html'}")


def in_store() -> Callable[[str], str | None] | None:
    """How to find a run by the id that files name: its id in the store, or None.

    None instead if the store cannot be used, which is said.
    """
    import mlflow

    try:
        experiment_id, client = store.connect(), mlflow.MlflowClient()
    except UserError as error:
        print(f"{first_line(error)} The report stays out of the runs.")
        return None

    def find(run_id: str) -> str | None:
        with store.explained():
            run = store.find_recorded(client, experiment_id, run_id)
        return str(run.info.run_id) if run else None

    return find


def write(folder: Path, found: Comparison, pictures: dict[str, Figure]) -> None:
    """Write page, Markdown, JSON and pictures, in the place of an earlier report."""
    drawn = {name: page.svg(picture, PICTURES[name]) for name, picture in pictures.items()}
    content = page.render("compare.html", comparison=found, text=comparison_text, pictures=drawn)
    with files.replaced(folder) as partial:
        (partial / "report.html").write_text(content, encoding="utf-8")
        markdown = comparison_text.report(found, pictures)
        (partial / "report.md").write_text(markdown, encoding="utf-8")
        files.write_json(partial / "comparison.json", comparison_text.document(found))
        for name, picture in pictures.items():
            picture.savefig(partial / f"{name}.png")


def log(folder: Path, found: Comparison, find: Callable[[str], str | None]) -> None:
    """Add the report to the run of each side, and a tag with the sentence.

    That the store has not the run, or fails meanwhile, is said and no failure.
    """
    a, b = found.a.run_id, found.b.run_id
    for run_id, other in ((a, b), (b, a)):
        try:
            if find(run_id) is None:
                print(f"The store has no run {run_id}: the report is not added to it.")
            else:
                add(run_id, other, folder, comparison_text.signed(found))
        except (UserError, OSError) as error:
            print(f"{first_line(error)} The report is not added to run {run_id}.")


def add(run_id: str, other: str, folder: Path, sentence: str) -> None:
    """Add the report to a run."""
    import mlflow

    client = mlflow.MlflowClient()
    with store.explained():
        client.log_artifacts(run_id, str(folder), f"{PLACE}/{other}")
        client.set_tag(run_id, f"{PLACE}.{other[:8]}", sentence)


if __name__ == "__main__":
    run_command("make compare", main)
