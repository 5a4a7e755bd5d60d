"""The columns of texts and labels are found by their names, or asked for."""

from pathlib import Path

import pytest

from sentiment.data.columns import choose_columns, find_columns
from sentiment.data.rows import Columns
from sentiment.errors import UserError


@pytest.mark.parametrize(
    ("names", "text", "label"),
    [
        (["id", "text", "label"], "text", "label"),
        (["Reviews", "Stars", "date"], "Reviews", "Stars"),
        (["id", "bodies", "categories"], "bodies", "categories"),
        (["messageBodies", "date", "classes"], "messageBodies", "classes"),
        (["text", "text_id", "label"], "text", "label"),
        (["reviewId", "reviewText", "star_rating", "label_date"], "reviewText", "star_rating"),
        (["text", "text_class", "2"], "text", "text_class"),
        (["sentiment", "what they said"], "what they said", "sentiment"),
    ],
)
def test_columns_are_found_by_their_names(names: list[str], text: str, label: str) -> None:
    assert choose_columns("a.csv", names, None, None) == Columns(text, label)


def test_columns_that_are_named_need_no_known_name() -> None:
    names = ["what", "how", "text"]
    assert choose_columns("a.csv", names, "what", "how") == Columns("what", "how")
    assert choose_columns("a.csv", ["what", "how"], None, "how") == Columns("what", "how")


@pytest.mark.parametrize(
    ("names", "use"),
    [
        (["title", "body", "review", "label"], "text"),
        (["text", "likes", "date"], "label"),
        (["a", "b"], "text"),
    ],
)
def test_a_column_that_is_not_clear_is_asked_for_with_its_option(
    names: list[str], use: str
) -> None:
    with pytest.raises(UserError) as raised:
        choose_columns("a.csv", names, None, None)
    assert str(raised.value) == (
        f"a.csv: which column has the {use}s? Name it with --{use}. The columns are "
        f"{', '.join(map(repr, names))}."
    )


def test_one_column_cannot_have_both() -> None:
    with pytest.raises(UserError, match="column 'a' cannot have both"):
        choose_columns("a.csv", ["a", "b"], "a", "a")


def test_a_table_with_another_separator_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text;label\nfine;1\n")
    with pytest.raises(UserError, match=r"a\.csv has only the column 'text;label'.*by commas"):
        find_columns(tmp_path / "a.csv", None, None)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(UserError, match=r"a\.csv has no rows"):
        find_columns(tmp_path / "a.csv", None, None)
