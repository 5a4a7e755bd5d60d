"""The labels of a dataset are those of the column in its training set."""

import pandas as pd
import pytest

from sentiment.data.labels import (
    MAX_LABELS,
    check_known,
    list_labels,
    sort_label_names,
    training_label_names,
)
from sentiment.errors import UserError
from sentiment.params import TableParams

PARAMS = TableParams(train="a.csv", label="stars")


def names_of(*labels: str, positive: str = "") -> list[str]:
    """Return the names of the labels of texts that have these labels."""
    rows = pd.DataFrame({"row": range(1, len(labels) + 1), "label": labels})
    return training_label_names(rows, PARAMS.model_copy(update={"positive": positive}))


@pytest.mark.parametrize(
    ("labels", "in_order"),
    [
        (["positive", "neutral", "negative"], ["negative", "neutral", "positive"]),
        (["10", "9", "-1", "2"], ["-1", "2", "9", "10"]),
        (["10", "9", "x"], ["10", "9", "x"]),
    ],
)
def test_labels_are_in_the_order_of_numbers_or_texts(
    labels: list[str], in_order: list[str]
) -> None:
    assert sort_label_names(labels) == in_order
    assert names_of(*labels, *labels) == in_order


@pytest.mark.parametrize(("positive", "labels"), [("", ["1", "5"]), ("1", ["5", "1"])])
def test_the_positive_label_is_the_second(positive: str, labels: list[str]) -> None:
    assert names_of("5", "1", "5", "1", positive=positive) == labels


@pytest.mark.parametrize(
    ("labels", "positive", "message"),
    [
        ([], "", "a.csv has no row with a known word in its text. Add rows."),
        (
            ["5", "5"],
            "",
            "a.csv, column 'stars': all 2 texts have the same label, '5'. Add texts with another "
            "label, or name another column.",
        ),
        (
            ["5", "1", "5"],
            "",
            "a.csv, column 'stars': the label of row 2 occurs only once. Correct it, or add "
            "texts with this label.",
        ),
        (
            ["3.7", "2", "3.7", "2"],
            "",
            "a.csv, column 'stars' has numbers such as 3.7, which look like measurements. Make a "
            "column of labels from them, such as low and high.",
        ),
        (
            ["5", "1", "5", "1"],
            "6",
            "a.csv, column 'stars' has no label '6', which fetch.table.positive names. Its labels "
            "are '1', '5'. Name one of them.",
        ),
        (
            ["1", "2", "3", "1", "2", "3"],
            "3",
            "a.csv, column 'stars' has 3 labels. Only one of two labels can be positive. Leave "
            "--positive out, or set fetch.table.positive to ''.",
        ),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(
    labels: list[str], positive: str, message: str
) -> None:
    with pytest.raises(UserError) as raised:
        names_of(*labels, positive=positive)
    assert str(raised.value) == message


def test_a_message_has_only_the_length_of_a_long_label() -> None:
    """The label may be a private text, if the wrong column was named."""
    shown = f"'short', '{'x' * 20}', a label of 21 characters"
    assert list_labels(["short", "x" * 20, "y" * 21]) == shown


def test_a_version_is_a_label_although_a_part_of_it_is_a_number() -> None:
    assert names_of("3.7", "v2", "3.7", "v2") == ["3.7", "v2"]


def test_a_column_of_many_values_is_refused() -> None:
    labels = [str(value) for value in range(MAX_LABELS + 1)]
    with pytest.raises(UserError, match=r"column 'stars' has 101 different values, more than 100"):
        names_of(*labels, *labels)


def test_a_label_that_the_training_set_does_not_have_is_named_with_its_row() -> None:
    rows = pd.DataFrame({"row": [3, 7], "label": ["1", "maybe"]})
    with pytest.raises(UserError) as raised:
        check_known(rows, "b.csv", "stars", ["1", "5"])
    assert str(raised.value) == (
        "b.csv, row 7: column 'stars' has a label that the training set does not have. Its labels "
        "are '1', '5'. Correct this row, or remove it."
    )
