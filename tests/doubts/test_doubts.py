"""Wrong labels are doubted first, and equal texts never judge each other."""

import numpy as np
import pandas as pd
import pytest

from sentiment.doubts import doubts
from sentiment.doubts.doubts import FOLDS, Fold, find_doubts
from sentiment.errors import UserError

WORDS = {"bad": "dull", "good": "fine"}


def table(texts: int = 100, wrong: int = 6) -> pd.DataFrame:
    """Return texts whose labels follow from a word. The labels of the first `wrong` are wrong."""
    labels = ["good" if number % 2 else "bad" for number in range(texts)]
    others = np.random.default_rng(0).integers(0, 50, (texts, 3))
    rows = [
        f"{WORDS[label]} " + " ".join(f"w{word}" for word in words)
        for label, words in zip(labels, others, strict=True)
    ]
    given = [
        ({"good": "bad", "bad": "good"}[label] if number < wrong else label)
        for number, label in enumerate(labels)
    ]
    return pd.DataFrame(
        {
            "row": range(1, texts + 1),
            "id": [f"t{number}" for number in range(texts)],
            "text": rows,
            "label": given,
        }
    )


def test_the_rows_with_wrong_labels_come_first_with_the_label_that_is_suggested() -> None:
    folds: list[Fold] = []
    found = find_doubts(table(), "keras", folds.append)
    assert set(found.doubted["row"][:6]) == {1, 2, 3, 4, 5, 6}
    first = found.doubted.iloc[0]
    assert first["label"] != first["suggested_label"]
    assert first["id"] == f"t{first['row'] - 1}"
    assert found.doubted["probability"].is_monotonic_increasing
    assert [fold.number for fold in folds] == [1, 2, 3, 4, 5]
    assert found.folds == folds
    assert 0.85 < np.mean([fold.accuracy for fold in folds]) <= 0.95  # 6 of 100 are wrong
    assert found.conflicts.empty


def test_equal_texts_are_in_one_fold_and_with_different_labels_listed_by_themselves() -> None:
    rows = table(wrong=0)
    twice = rows.iloc[:2].assign(row=[201, 202], label=["good", "good"])
    twice["text"] = twice["text"].str.upper() + "!"  # the same words
    found = find_doubts(pd.concat([rows, twice], ignore_index=True), "keras")
    assert found.conflicts["row"].tolist() == [1, 201]
    assert found.conflicts["label"].tolist() == ["bad", "good"]
    assert not {1, 201} & set(found.doubted["row"])


def test_labels_with_fewer_than_five_different_texts_are_named_and_left_out() -> None:
    rare = pd.DataFrame(
        {
            "row": range(301, 308),
            "id": "",
            "text": [f"odd w{min(number, 3)}" for number in range(7)],
            "label": "rare",
        }
    )
    found = find_doubts(pd.concat([table(), rare], ignore_index=True), "keras")
    assert found.rare == ["rare"]
    assert found.doubted["row"].max() <= 100
    assert "rare" not in set(found.doubted["suggested_label"])


def test_texts_without_a_word_are_left_out_and_not_counted() -> None:
    rows = table()
    rows.loc[50, "text"] = "?!"
    wordless = pd.DataFrame(
        {
            "row": range(301, 306),
            "id": "",
            "text": ["w1 odd", "w2 odd", "w3 odd", "w4 odd", "?!"],
            "label": "rare",
        }
    )
    found = find_doubts(pd.concat([rows, wordless], ignore_index=True), "keras")
    assert 51 not in set(found.doubted["row"])
    assert found.rare == ["rare"]


def test_a_table_that_no_model_can_learn_or_that_is_too_large_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UserError, match=f"have {FOLDS} different texts"):
        find_doubts(table(8), "keras")
    monkeypatch.setattr(doubts, "MAX_WORDS", 399)
    with pytest.raises(UserError, match="400 words, and at most 399"):
        find_doubts(table(), "keras")
