"""The model card says what a user of a model should know, and nothing that goes stale."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from sentiment.evaluation.baseline import Baseline
from sentiment.evaluation.card import SPACED_COLUMNS, code_span, describe_evaluation
from sentiment.evaluation.metrics import compute_metrics, label_metrics
from sentiment.text.model_files import ModelConfig
from sentiment.text.padding import Layout
from tests.predictions import predictions

PREDICTIONS = predictions(correct=600)
LAYOUT = Layout(num_words=10_000, max_length=200, padding="pre", truncating="pre")
CONFIG = ModelConfig(
    dataset="imdb", label_names=["negative", "positive"], tokenizer="keras", layout=LAYOUT
)


def card(config: ModelConfig, table: pd.DataFrame) -> str:
    """Return the card of a model that made these predictions."""
    baseline = Baseline(
        "the most frequent label", {}, table.assign(predicted=config.label_names[0])
    )
    return describe_evaluation(
        config, table, compute_metrics(table), label_metrics(table), baseline
    )


def test_a_card_begins_with_the_accuracy_and_the_dataset() -> None:
    text = card(CONFIG, PREDICTIONS)
    assert text.startswith(
        "Test accuracy 1.0000 on `imdb`\n\nCompared with the most frequent label"
    )
    assert "whose accuracy is 0.5000: +50.00 points of accuracy, 95% interval +4" in text


def test_a_card_has_each_metric_with_its_interval() -> None:
    text = card(CONFIG, PREDICTIONS.iloc[:100])
    assert f"| accuracy{SPACED_COLUMNS}1.0000{SPACED_COLUMNS}0.9630 to 1.0000 |" in text


def test_a_card_has_the_metrics_that_it_is_given() -> None:
    metrics = {"test_accuracy": 0.5, "test_loss": 0.25}
    baseline = Baseline("the most frequent label", {}, PREDICTIONS)
    text = describe_evaluation(CONFIG, PREDICTIONS, metrics, label_metrics(PREDICTIONS), baseline)
    assert text.startswith("Test accuracy 0.5000")
    assert f"| loss{SPACED_COLUMNS}0.2500{SPACED_COLUMNS} |" in text
    assert "ROC AUC" not in text


def test_a_card_has_the_metrics_of_each_label() -> None:
    text = card(CONFIG, predictions(correct=300))
    row = SPACED_COLUMNS.join(["`positive`", "0.5000", "0.5000", "0.5000", "300"])
    assert f"| {row} |" in text
    assert "macro" not in text


def test_a_card_of_many_labels_says_what_is_averaged_and_where_the_other_labels_are() -> None:
    names = [f"topic {number:02}" for number in range(12)]
    actual = [names[number % 12] for number in range(600)]
    table = pd.DataFrame(
        {
            "row": range(600),
            "actual": actual,
            "predicted": actual,
            **{f"probability_{name}": [float(name == one) for one in actual] for name in names},
            "words": 1,
            "unknown_words": 0,
            "seen_in_training": False,
        }
    )
    text = card(replace(CONFIG, label_names=names), table)
    assert "`topic 09`" in text
    assert "`topic 10`" not in text
    assert (
        "- The table by label has the first 10 of 12 labels; the artifact `labels.csv` has" in text
    )
    assert "means over the labels (macro averages)" in text


def test_a_label_cannot_break_the_table() -> None:
    assert code_span("a|b`c") == "`a\\|b'c`"


def test_a_card_says_where_the_metrics_come_from_and_what_is_read() -> None:
    text = card(CONFIG, PREDICTIONS)
    assert "- Evaluated on 600 texts of `imdb`." in text
    assert "- Only the last 200 tokens of a text are read." in text
    assert "generated" not in text
    assert "uncertain" not in text


@pytest.mark.parametrize(
    ("changes", "reviews", "limit"),
    [
        ({"dataset": "synthetic"}, 600, "- All texts are generated."),
        (
            {"layout": replace(LAYOUT, truncating="post")},
            600,
            "- Only the first 200 tokens of a text",
        ),
        ({}, 499, "- With fewer than 500 test texts, the metrics are uncertain."),
    ],
)
def test_a_card_says_what_limits_the_model(
    changes: dict[str, Any], reviews: int, limit: str
) -> None:
    assert limit in card(replace(CONFIG, **changes), PREDICTIONS.iloc[:reviews])
