"""The page of `make report`, from the stages' files alone: the model is not loaded."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup

from extras.common import page
from extras.common.significance import CONFIDENCE, interval
from sentiment.errors import UserError
from sentiment.evaluation.evaluate import TrainingRecord, plot_predictions, plot_training
from sentiment.evaluation.metrics import Predictions, metrics_for
from sentiment.evaluation.params import EvaluateParams
from workflow import files, outputs, store
from workflow.about import AboutEvaluate, read_about
from workflow.files import EVALUATE
from workflow.outputs import RunRecord
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

    The params are by dotted `params.yaml` names; the tables are `TABLES`.
    """

    params: dict[str, Any]
    metrics: dict[str, Any]
    cost: dict[str, float]
    tables: dict[str, pd.DataFrame]


def read_results() -> Results:
    """Read `data/evaluate`.

    Raises:
        UserError: it is damaged, or of another model or test set.
    """
    about = read_about(EVALUATE, AboutEvaluate)
    if not outputs.is_evaluation_current():
        raise UserError(f"{EVALUATE} is of another model or test set: run `dvc repro` first.")
    return Results(
        params=about.flat_params(),
        metrics=files.read_json(files.verified(EVALUATE / "metrics.json")),
        cost=files.read_json(files.verified(EVALUATE / "cost.json")),
        tables={
            name: outputs.read_table(files.verified(EVALUATE / f"{name}.csv")) for name in TABLES
        },
    )


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


def plots(training: TrainingRecord, results: Results, options: EvaluateParams) -> dict[str, Markup]:
    """The plots of `evaluate` by their captions, which take the place of titles."""
    drawn = plot_predictions(results.metrics, results.tables, training.name, options)
    drawn |= plot_training(training, results.tables["gradients"], options)
    for figure in drawn.values():
        figure.axes[0].set_title("")
    return {caption: page.svg(drawn[name], caption) for name, caption in PLOTS.items()}


def report(
    record: RunRecord,
    training: TrainingRecord,
    results: Results,
    link: str,
    options: EvaluateParams,
) -> str:
    """Return the complete page.

    Args:
        link: the URL of the run; empty if the tracking store does not have it.
    """
    mistakes = results.tables["mistakes"]
    if not options.log_texts:  # they may have been logged when the table was made
        mistakes = mistakes.drop(columns=outputs.TEXT_COLUMN, errors="ignore")
    return page.render(
        TEMPLATE,
        run=record,
        link=link,
        local=link.startswith(store.DEFAULT_UI),
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
