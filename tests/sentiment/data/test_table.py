"""Texts of one's own become reviews: words ranked by the training part, a share set aside."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment import text
from sentiment.data import imdb, table
from sentiment.data.dataset import Table, summarize
from sentiment.data.table import Loaded
from sentiment.errors import UserError
from sentiment.text import Reviews
from workflow import downloads
from workflow.params import Params

TRAIN = [("b a b", "yes"), ("c a", "no"), ("b d", "yes"), ("d a", "no"), ("a a d", "no")]
TEST = [("a unheard b", "yes"), ("unheard", "no")]


@pytest.fixture
def settings(default_params: Params) -> Table:
    return default_params.fetch.table.model_copy(update={"positive": "yes"})


def write(path: Path, rows: Sequence[tuple[str, ...]], header: str = "text,label") -> str:
    lines = [",".join(f'"{each}"' for each in row) for row in rows]
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return str(path)


def load(folder: Path, settings: Table, **parts: Sequence[tuple[str, ...]]) -> Loaded:
    """Load tables of these rows: `train` alone, or `test`, too."""
    header = "text,label,group" if settings.group else "text,label"
    files = {part: write(folder / f"{part}.csv", rows, header) for part, rows in parts.items()}
    changes = {"train": files["train"], "test": files.get("test", files["train"])}
    scratch = folder / "scratch"
    scratch.mkdir()
    changed = settings.model_copy(update=changes)
    with downloads.tables(changed) as (sources, _):
        return table.load(changed, sources, scratch)


def lists(reviews: Reviews) -> list[list[int]]:
    return [each.tolist() for each in reviews]


def test_words_are_ranked_by_their_frequency_in_training_as_keras_ranks_them(
    tmp_path: Path, settings: Table
) -> None:
    loaded = load(tmp_path, settings, train=TRAIN, test=TEST)
    assert loaded.ranks == {"a": 1, "b": 2, "d": 3, "c": 4}  # b and d: the first one first
    assert lists(loaded.train) == [[2, 1, 2], [4, 1], [2, 3], [3, 1], [1, 1, 3]]
    assert loaded.train.labels.tolist() == [1, 0, 1, 0, 0]


def test_words_that_training_lacks_are_dropped_from_the_test(
    tmp_path: Path, settings: Table
) -> None:
    loaded = load(tmp_path, settings, train=TRAIN, test=TEST)
    assert lists(loaded.test) == [[1, 2], []]
    assert loaded.test.labels.tolist() == [1, 0]


def test_large_files_are_read_in_blocks_with_the_same_result(
    tmp_path: Path, settings: Table, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    words = np.array([f"w{number}" for number in range(300)])
    rows = [
        (" ".join(rng.choice(words, rng.integers(1, 40))), "yes" if row % 3 else "no")
        for row in range(400)
    ]
    made = []
    for number, at_once in enumerate((7, 4_000_000)):
        monkeypatch.setattr(table, "AT_ONCE", at_once)
        (tmp_path / str(number)).mkdir()
        made.append(load(tmp_path / str(number), settings, train=rows))
    small, large = made
    assert small.ranks == large.ranks
    for one, other in ((small.train, large.train), (small.test, large.test)):
        assert np.array_equal(one.tokens, other.tokens)
        assert np.array_equal(one.offsets, other.offsets)
        assert np.array_equal(one.labels, other.labels)
    counted = Counter(large.train.tokens.tolist())
    by_rank = [counted[rank] for rank in range(1, len(counted) + 1)]
    assert by_rank == sorted(by_rank, reverse=True)


def test_a_share_of_each_label_is_set_aside_by_the_seed(tmp_path: Path, settings: Table) -> None:
    rows = [(f"text {number}", "yes" if number < 50 else "no") for number in range(200)]
    learned: list[set[str]] = []
    for number, seed in enumerate((0, 0, 1)):
        (tmp_path / str(number)).mkdir()
        changed = settings.model_copy(update={"split_seed": seed, "test_share": 0.2})
        loaded = load(tmp_path / str(number), changed, train=rows)
        assert (len(loaded.train), len(loaded.test)) == (160, 40)
        assert (loaded.train.labels.sum(), loaded.test.labels.sum()) == (40, 10)
        learned.append(set(loaded.ranks))  # the numbers of the rows are words, too
    assert learned[0] == learned[1]
    assert learned[0] != learned[2]


def test_the_rows_of_a_group_never_lie_on_both_sides(tmp_path: Path, settings: Table) -> None:
    groups = [number % 23 for number in range(230)]
    rows = [
        (f"g{group} x", "yes" if number % 3 else "no", f"p{group}")
        for number, group in enumerate(groups)
    ]
    loaded = load(tmp_path, settings.model_copy(update={"group": "group"}), train=rows)
    assert 30 <= len(loaded.test) <= 60
    known = {word for word in loaded.ranks if word.startswith("g")}
    for review in loaded.test:  # the group's own word is unknown, since all its rows are here
        assert len(review) == 1
    assert len(known) == 23 - len(loaded.test) // 10


@pytest.mark.parametrize(
    ("share", "parts"), [(0.5, 2), (0.42, 2), (0.4, 3), (0.3, 3), (0.29, 4), (0.1, 10)]
)
def test_groups_are_dealt_into_the_parts_that_come_nearest(share: float, parts: int) -> None:
    assert table.nearest(share) == parts


def test_a_test_file_with_a_group_of_the_training_is_refused(
    tmp_path: Path, settings: Table
) -> None:
    grouped = settings.model_copy(update={"group": "group"})
    train = [("a", "yes", "Ann"), ("b", "no", "Bob")]
    with pytest.raises(UserError, match=r"1 of the groups in column 'group'.*also in"):
        load(tmp_path, grouped, train=train, test=[("c", "yes", "Bob"), ("d", "no", "Eve")])


def test_texts_without_a_word_are_left_out_and_counted(tmp_path: Path, settings: Table) -> None:
    loaded = load(tmp_path, settings, train=[*TRAIN, ("", "no"), (" ?! ", "yes")], test=TEST)
    assert loaded.left_out == 2
    assert len(loaded.train) == len(TRAIN)


def test_reviews_that_repeat_are_counted_within_and_between_the_parts(
    tmp_path: Path, settings: Table
) -> None:
    train = [*TRAIN, ("B, a? B!", "yes")]
    loaded = load(tmp_path, settings, train=train, test=[*TEST, ("c a", "no"), ("c a", "yes")])
    summary = summarize(loaded.train, loaded.test, loaded.left_out)
    assert summary["train"] == {"reviews": 6, "positive": 3, "repeated": 1}
    assert summary["test"]["repeated"] == 1
    assert summary["test_in_training"] == 2


def test_words_are_split_by_the_chosen_tokenizer(tmp_path: Path, settings: Table) -> None:
    rows = [("Été, ÉTÉ l’a", "yes"), ("été", "no")]
    by_unicode = settings.model_copy(update={"tokenizer": "unicode"})
    assert load(tmp_path, by_unicode, train=rows, test=rows[::-1]).ranks == {"été": 1, "l’a": 2}


def test_what_is_served_gets_the_words_that_were_trained_on(
    tmp_path: Path, settings: Table
) -> None:
    rows = [("Ça l’été — e-mail 3.14", "yes"), ("ÇA n'est pas?", "no")]
    for tokenizer in (text.KERAS, text.UNICODE):
        (tmp_path / tokenizer).mkdir()
        chosen = settings.model_copy(update={"tokenizer": tokenizer})
        loaded = load(tmp_path / tokenizer, chosen, train=rows, test=rows[::-1])
        served = [text.known_words(each, loaded.ranks, tokenizer) for each, _ in rows]
        assert [[word.rank for word in words] for words in served] == lists(loaded.train)


def test_imdb_s_own_words_as_a_table_are_the_same_words(
    tmp_path: Path, settings: Table, imdb_cache: Path, default_params: Params
) -> None:
    assert imdb_cache.is_dir()
    train, _, ranks = imdb.parse(*downloads.imdb(default_params.fetch))
    words = ["", *sorted(ranks, key=ranks.__getitem__)]
    chosen = [*range(500), *range(len(train) - 500, len(train))]  # of both labels
    reviews = [" ".join(words[rank] for rank in train[review]) for review in chosen]
    labels = ["yes" if train.labels[review] else "no" for review in chosen]
    rows = list(zip(reviews, labels, strict=True))
    loaded = load(tmp_path, settings, train=rows, test=rows[::-1])
    own = ["", *loaded.ranks]
    for part, step in ((loaded.train, 1), (loaded.test, -1)):
        assert [" ".join(own[rank] for rank in review) for review in part] == reviews[::step]
        assert part.labels.tolist() == train.labels[chosen][::step].tolist()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": [("a", "yes"), ("b", "no"), ("c", "maybe")]}, "row 3 (line 4), column 'label'"),
        (
            {"train": [("a", "yes"), ("b", "no"), ("c", "maybe")]},
            "a third label beside 'yes', which is positive, and 'no'.",
        ),
        ({"train": TRAIN, "test": [("a", "maybe")]}, "test.csv, row 1 (line 2), column 'label'"),
        ({"train": [("a", "1"), ("b", "0")]}, "beside 'yes', which is positive, and '1'"),
        ({"train": []}, "train.csv has no row with a word in its text."),
        ({"train": [("", "yes"), ("?", "no")]}, "train.csv has no row with a word"),
        ({"train": [("a", "yes")] * 3}, "all of the 3 rows have the label 'yes'"),
        ({"train": [("a", "no")] * 3}, "none of the 3 rows have the label 'yes'"),
        ({"train": TRAIN, "test": [("a", "no")] * 2}, "test.csv, test part: none of the 2 rows"),
        ({"train": [("a", "yes"), ("b", "no")]}, "fetch.table.test_share: "),
        ({"train": TRAIN, "test": TRAIN}, "test.csv has the same content as"),
    ],
)
def test_tables_that_cannot_be_learned_from_are_refused(
    tmp_path: Path, settings: Table, parts: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as raised:
        load(tmp_path, settings, **parts)
    assert message in str(raised.value)
