"""The page of `make report`, from the stages' files alone: the model is not loaded."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup
from workflow.evaluation import TEXT, RecordedTraining, evaluated_digests, read_table
from workflow.runs.links import ADDRESS

from extras.common import page
from extras.common.significance import CONFIDENCE, interval
from sentiment.errors import UserError
from sentiment.evaluation.evaluate import plot_predictions, plot_training
from sentiment.evaluation.metrics import Predictions, metrics_for
from sentiment.evaluation.params import EvaluateParams
from workflow import files
from workflow.files import EVALUATE
from workflow.params import Params

TEMPLATE = Path(__file__).with_name("templates") / "report.html"
TABLES = ("predictions", "confusion", "roc", "reliability", "lengths", "mistakes", "gradients")
PLOTS = {  # their captions
    "accuracy": "Accuracy by epoch",
    "loss": "Loss by epoch",
    "confusion": "Reviews by actual and by predicted class",
    "roc": "ROC curve: true positive rate against false positive rate",
    "reliability": "Reliability: share of positive reviews against predicted probability",
    "lengths": "Accuracy by length of the review",
    "gradients": "How far back the gradient reaches: its norm by words before the last",
}


class Results(NamedTuple):
    """What `evaluate` wrote, see `sentiment.evaluation.evaluate`.

    The params are by dotted `params.yaml` names, with digests; the tables are `TABLES`.
    """

    params: dict[str, Any]
    metrics: dict[str, Any]
    cost: dict[str, float]
    tables: dict[str, pd.DataFrame]


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


def headline(results: Results) -> list[tuple[str, str, str]]:
    """Metrics, values and notes; the note of a share, which is in percent, is its interval."""
    bins = results.params["evaluate.calibration_bins"]
    answered = Predictions(results.tables["predictions"], bins)
    tiles = []
    for name, metric in metrics_for("headline").items():
        value = results.metrics.get(f"test_{name}")
        if value is None:  # not defined, or of an evaluation that did not know it
            continue
        if ends := interval(metric, answered, CONFIDENCE):
            note = f"{100 * CONFIDENCE:.4g}% interval {ends.low:.2%} to {ends.high:.2%}"
            tiles.append((metric.label, f"{value:.2%}", note))
        else:
            tiles.append((metric.label, f"{value:.4f}", metric.note.format(bins=bins)))
    return tiles


def moment(milliseconds: int) -> str:
    """A time in milliseconds since 1970, to the minute, in UTC."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M}"


def plots(
    training: RecordedTraining, results: Results, options: EvaluateParams
) -> dict[str, Markup]:
    """The plots of `evaluate` by their captions, which take the place of titles."""
    drawn = plot_predictions(results.metrics, results.tables, training.run["name"], options)
    drawn |= plot_training(training.record, results.tables["gradients"], options)
    for figure in drawn.values():
        figure.axes[0].set_title("")
    return {caption: page.svg(drawn[name], caption) for name, caption in PLOTS.items()}


def report(training: RecordedTraining, results: Results, link: str, options: EvaluateParams) -> str:
    """The complete page, which leads to the run at the address `link`."""
    mistakes = results.tables["mistakes"]
    if not options.log_texts:  # they may have been logged when the table was made
        mistakes = mistakes.drop(columns=TEXT, errors="ignore")
    return page.render(
        TEMPLATE,
        run=training.run,
        link=link,
        local=link.startswith(ADDRESS),
        moment=moment,
        headline=headline(results),
        metrics=results.metrics,
        cost=results.cost,
        epochs=len(training.history),
        seconds=training.history["seconds"].sum(),
        plots=plots(training, results, options),
        mistakes=mistakes.to_dict("records"),
        params={
            name: value
            for name, value in results.params.items()
            if name.partition(".")[0] in Params.model_fields  # and no digest
        },
    )
