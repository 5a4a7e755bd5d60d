"""The page of `make report`, from the stages' files alone: the model is not loaded."""

import textwrap
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from extras.common import page
from extras.common.significance import CONFIDENCE, interval
from sentiment.errors import UserError
from sentiment.scoring.answers import TrainingRecord, draw_answers, draw_training
from sentiment.scoring.evaluate_options import Evaluate
from sentiment.scoring.metrics import Metric, Predictions, shown_in
from sentiment.section import flatten
from workflow import files
from workflow.evaluation import evaluated_digests, read_table
from workflow.files import EVALUATE
from workflow.params import Params
from workflow.runs.links import ADDRESS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEMPLATE = Path(__file__).with_name("templates") / "report.html"
TABLES = ("predictions", "confusion", "roc", "reliability", "lengths", "mistakes", "gradients")
# inches, in place of the plots' own size: letters are of the page's size on a phone
PLOT_SIZE = {"figure_width": 4.8, "figure_height": 3.6}
PLOTS = {
    "accuracy": ("Accuracy", "Accuracy by epoch, in training and in validation"),
    "loss": ("Loss", "Loss by epoch, in training and in validation"),
    "confusion": ("Confusion matrix", "Counts of reviews by actual and by predicted class"),
    "roc": ("ROC curve", "True positive rate against false positive rate"),
    "reliability": ("Reliability", "Share of positive reviews against predicted probability"),
    "lengths": ("Accuracy by length", "Accuracy of short and of long reviews, as bars"),
    "gradients": (
        "How far back the gradient reaches",
        "Norm of the gradient by words before the last, before the first epoch and trained",
    ),
}
LABEL_LETTERS, LEGEND_LETTERS = 10, 20  # of a line in a plot of that size
EXCERPT_WORDS = 40  # of a review; what is longer has to be opened to be read


class Results(NamedTuple):
    """What `evaluate` wrote.

    Attributes:
        params: everything that shaped it, by dotted `params.yaml` names, and digests.
        metrics: see `sentiment.scoring.metrics.summary`.
        cost: what an answer takes, see `sentiment.scoring.answers.predict`.
        tables: `TABLES`, see `sentiment.scoring.answers.evaluate`.
    """

    params: dict[str, Any]
    metrics: dict[str, Any]
    cost: dict[str, float]
    tables: dict[str, pd.DataFrame]


class Headline(NamedTuple):
    """A metric or cost of the headline, with what it is or how sure it is."""

    name: str
    value: str
    note: str


class Plot(NamedTuple):
    """A plot with its caption."""

    caption: str
    svg: Markup


class Mistake(NamedTuple):
    """A wrong answer; `excerpt` is the beginning of a long text and empty for a short one."""

    actual: str
    predicted: str
    probability: str
    words: str
    seen: bool
    excerpt: str
    text: str


def read_results() -> Results:
    """Read `data/evaluate`; raises UserError if it is damaged or of another model or test set."""
    params = files.read_about(EVALUATE)["params"]
    if not evaluated_digests().items() <= params.items():
        raise UserError(f"{EVALUATE} is of another model or test set: run `dvc repro` first.")
    metrics, cost = (
        files.read_json(files.checked(EVALUATE / f"{name}.json")) for name in ("metrics", "cost")
    )
    tables = {name: read_table(files.checked(EVALUATE / f"{name}.csv")) for name in TABLES}
    return Results(params, metrics, cost, tables)


def changed(recorded: Mapping[str, Any], params: Params) -> list[str]:
    """The params that had another value when `recorded` was written, by their dotted names."""
    now = {key: value for name, part in params for key, value in flatten(part, name).items()}
    return [key for key, value in recorded.items() if key in now and now[key] != value]


def check(results: Results, params: Params) -> None:
    """Refuse results of other params than the present ones; raises UserError."""
    if names := changed(results.params, params):
        raise UserError(
            f"{EVALUATE} was made with other params ({', '.join(names)}): run `dvc repro` first."
        )


def headline(results: Results, history: pd.DataFrame, confidence: float) -> list[Headline]:
    """How good the model is and what it costs."""
    seconds, milliseconds = history["seconds"].sum(), results.cost["milliseconds_per_review"]
    return [
        *(
            tile(metric, results.metrics[f"test_{name}"], results, confidence)
            for name, metric in shown_in("headline").items()
            if f"test_{name}" in results.metrics
        ),
        Headline("Training", f"{seconds:,.1f} s", f"epochs: {len(history)}"),
        Headline(
            "Prediction",
            f"{milliseconds:.3f} ms",
            "a review, all cores at work",
        ),
        Headline("Parameters", f"{results.cost['parameters']:,}", "weights of the model"),
    ]


def tile(metric: Metric, value: float, results: Results, confidence: float) -> Headline:
    """A metric of the headline: a share in percent with its interval, others with a note."""
    bins = results.params["evaluate.calibration_bins"]
    ends = interval(metric, Predictions(results.tables["predictions"], bins), confidence)
    if ends is None:
        return Headline(f"Test {metric.label}", f"{value:.4f}", metric.note.format(bins=bins))
    low, high = ends
    note = f"{100 * confidence:.4g}% interval {low:.2%} to {high:.2%}"
    return Headline(f"Test {metric.label}", f"{value:.2%}", note)


def facts(run: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, str]:
    """What was run, when and where, as far as it is known."""
    tags, unseen = run["tags"], metrics.get("test_accuracy_unseen")
    without = f" ({unseen:.2%} accuracy without these)" if unseen is not None else ""
    cores = f"cores: {tags['processor.cores']}" if "processor.cores" in tags else ""
    known = {
        "Test set": f"{metrics['test_reviews']:,} reviews, {metrics['test_reviews_seen']:,} of "
        f"them also in training{without}",
        "Started": f"{moment(run['begun'])} UTC",
        "Ended": f"{moment(run['ended'])} UTC",
        "Trained by": tags.get("train.path", ""),
        "DVC experiment": tags.get("dvc.experiment", ""),
        "Machine": ", ".join(filter(None, [tags.get("processor.name"), cores])),
        "Software": ", ".join(versions(tags)),
    }
    return {name: text for name, text in known.items() if text}


def versions(tags: Mapping[str, str]) -> Iterator[str]:
    """What the run says of the versions it used, such as `keras 3.15.1`."""
    for key, text in tags.items():
        if key.endswith(".version"):
            yield f"{key.removesuffix('.version')} {text}"


def moment(milliseconds: int) -> str:
    """A time in milliseconds since 1970, to the minute, in UTC."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M}"


def plots(training: TrainingRecord, results: Results, options: Evaluate) -> list[Plot]:
    """The plots of `evaluate`, drawn for the page: captions take the place of titles."""
    sized = options.model_copy(update=PLOT_SIZE)
    name, tables = training.run["name"], results.tables
    drawn = draw_answers(results.metrics, tables, name, sized)
    drawn |= draw_training(training, tables["gradients"], sized)
    for figure in drawn.values():
        fit(figure.axes[0])
    return [Plot(caption, page.svg(drawn[name], alt)) for name, (caption, alt) in PLOTS.items()]


def fit(axes: "Axes") -> None:
    """Leave out the title, which the caption says, and break labels that are too wide for it."""
    axes.set_title("")
    for label in axes.texts:
        label.set_text(wrapped(label.get_text(), LABEL_LETTERS))
    if legend := axes.get_legend():
        for entry in legend.get_texts():
            entry.set_text(wrapped(entry.get_text(), LEGEND_LETTERS))


def wrapped(text: str, width: int) -> str:
    """Each line of a text, broken between words where it is longer than `width` letters."""
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def mistakes(table: pd.DataFrame) -> list[Mistake]:
    """Each row of the table of mistakes, as the page shows it."""
    return [
        Mistake(
            actual=row["actual"],
            predicted=row["predicted"],
            probability=f"{row['probability']:.6f}",
            words=f"{row['words']:,}",
            seen=row["seen_in_training"],
            excerpt=excerpt(row.get("text", "")),
            text=row.get("text", ""),
        )
        for row in table.to_dict("records")
    ]


def excerpt(text: str) -> str:
    """The first words of a long text; nothing for a short one."""
    words = text.split()
    return " ".join(words[:EXCERPT_WORDS]) if len(words) > EXCERPT_WORDS else ""


def sections(params: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Params by the sections of `params.yaml`, as written there; digests are left out."""
    grouped: dict[str, dict[str, str]] = {}
    for key, value in params.items():
        section, _, name = key.partition(".")
        if section in Params.model_fields:
            grouped.setdefault(section, {})[name] = shown(value)
    return grouped


def shown(value: Any) -> str:
    """A value as `params.yaml` writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def report(training: TrainingRecord, results: Results, link: str, params: Params) -> str:
    """The complete page."""
    tags = training.run["tags"]
    return page.render(
        TEMPLATE,
        name=training.run["name"],
        run_id=link.rpartition("/")[2],
        link=link,
        local=link.startswith(ADDRESS),
        dataset=results.metrics["dataset"],
        trained=moment(training.run["begun"]),
        commit=tags.get("git.commit", ""),
        changes=tags.get("git.uncommitted_changes", "none"),
        headline=headline(results, training.history, CONFIDENCE),
        facts=facts(training.run, results.metrics),
        plots=plots(training, results, params.evaluate),
        mistakes=mistakes(results.tables["mistakes"]),
        sections=sections(results.params),
    )
