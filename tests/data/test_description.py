"""A dataset is described by what its user should know about its texts."""

from pathlib import Path

from sentiment.data.description import describe_dataset
from sentiment.data.table import load_table
from sentiment.params import TableParams


def test_texts_are_repeated_if_their_words_are(tmp_path: Path) -> None:
    train = ["text,label", "a b,yes", "A b!,yes", "c,no", "d,no"]
    test = ["text,label", "a b,yes", "A B,yes", "a unheard,no", "a unknown,no"]
    for name, lines in (("train", train), ("test", test)):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines), encoding="utf-8")
    params = TableParams(train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"))
    described = describe_dataset("own", load_table(params))
    assert described.splitlines()[2:] == [
        "  repeated training texts: 1",
        "  repeated test texts: 1",
        "  test texts that are also in the training set: 2",
    ]
