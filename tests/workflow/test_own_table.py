"""Set the project up for a table of one's own texts."""

from pathlib import Path

import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams, TableParams
from tests.project import Project
from workflow.own_table import (
    changed_pointers,
    is_tracked,
    project_path,
    recommend_preset,
    table_params,
    tracking_advice,
    untracked_tables,
)


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize(
    ("names", "text", "label"),
    [
        (["id", "text", "label"], "text", "label"),
        (["Review", "Stars", "date"], "Review", "Stars"),
        (["text", "text_id", "label"], "text", "label"),
        (["Date", "Review Text", "star_rating"], "Review Text", "star_rating"),
        (["sentiment", "what they said"], "what they said", "sentiment"),
    ],
)
def test_columns_are_found_by_their_names(names: list[str], text: str, label: str) -> None:
    Path("a.csv").write_text(f"{','.join(names)}\n{','.join('x' * len(names))}\n")
    table = table_params(TableParams(), Path("a.csv"), None, None, None, "")
    assert (table.text, table.label) == (text, label)
    assert (table.train, table.test) == ("a.csv", "a.csv")


@pytest.mark.usefixtures("in_tmp_path")
def test_columns_that_are_named_need_no_known_name() -> None:
    Path("a.csv").write_text("what,how\nx,y\n")
    table = table_params(TableParams(), Path("a.csv"), Path("b.csv"), "what", "how", "y")
    assert (table.text, table.label, table.test, table.positive) == ("what", "how", "b.csv", "y")


@pytest.mark.usefixtures("in_tmp_path")
@pytest.mark.parametrize(
    ("names", "use"),
    [
        (["title", "body", "review", "label"], "text"),
        (["text", "likes", "date"], "label"),
        (["text"], "label"),
        (["a", "b"], "text"),
    ],
)
def test_a_column_that_is_not_clear_is_asked_for_with_its_option(
    names: list[str], use: str
) -> None:
    Path("a.csv").write_text(f"{','.join(names)}\n{','.join('x' * len(names))}\n")
    with pytest.raises(UserError) as raised:
        table_params(TableParams(), Path("a.csv"), None, None, None, "")
    assert str(raised.value) == (
        f"a.csv: which column has the {use}s? Name it by --{use}. The columns are "
        f"{', '.join(map(repr, names))}."
    )


def test_the_path_of_a_table_is_relative_in_the_project_and_absolute_elsewhere(
    in_tmp_path: Path,
) -> None:
    assert project_path(in_tmp_path / "texts" / "a.csv") == "texts/a.csv"
    assert project_path(in_tmp_path.parent / "a.csv") == str(in_tmp_path.parent / "a.csv")


@pytest.fixture
def repository(in_tmp_path: Path) -> Path:
    """Return an empty repository, which is the working directory."""
    Project(in_tmp_path).run("git", "init", "--quiet")
    return in_tmp_path


@pytest.mark.parametrize("tracked", ["a.csv.dvc", "texts.dvc"])
def test_a_table_that_dvc_tracks_is_tracked(repository: Path, tracked: str) -> None:
    (repository / tracked).touch()
    assert is_tracked(Path("a.csv" if tracked == "a.csv.dvc" else "texts/a.csv"))


def test_a_table_that_git_tracks_is_tracked(repository: Path) -> None:
    (repository / "a.csv").touch()
    assert not is_tracked(Path("a.csv"))
    Project(repository).run("git", "add", "a.csv")
    assert is_tracked(Path("a.csv"))


def test_what_dvc_has_written_about_a_table_is_to_be_committed(repository: Path) -> None:
    fetch = FetchParams(dataset="table", table=TableParams(train="a.csv", test="a.csv"))
    assert changed_pointers(fetch) == []
    for name in ("a.csv.dvc", ".gitignore"):
        (repository / name).touch()
    assert changed_pointers(fetch) == ["a.csv.dvc", ".gitignore"]


@pytest.mark.usefixtures("repository")
def test_only_tables_that_the_dataset_reads_are_named() -> None:
    table = TableParams(train="a.csv", test="b.csv")
    assert untracked_tables(FetchParams(table=table)) == []
    own = FetchParams(dataset="table", table=table, added_texts="more")
    assert untracked_tables(own) == ["a.csv", "b.csv", "more"]


def test_advice_about_a_table_depends_on_where_it_is() -> None:
    assert tracking_advice(["a.csv", "/else/b.csv"]) == [
        "Neither git nor DVC tracks a.csv: dvc add a.csv",
        "/else/b.csv is outside of the project, so neither git nor DVC can keep it. Copy it here.",
    ]


def test_few_texts_are_for_the_linear_model() -> None:
    assert recommend_preset(320) == (
        "Start with `sentiment preset linear`: with 320 training texts, the default LSTM learns "
        "for only 20 steps."
    )
    assert "Start with the default LSTM, which learns for 1,562 steps" in recommend_preset(25_000)
