"""Word vectors are read as GloVe, word2vec and fastText publish them."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from sentiment.data.vectors import read_vectors
from sentiment.errors import UserError

IDS = {"film": 3, "new york": 4, "é\u2028x": 5, "unheard": 6}
LINES = "the 9 9\nfilm 0.5 -1e-1\nnew york 1 2\né\u2028x 3 4 \nfilm 7 7\n"
EXPECTED = [[0, 0]] * 3 + [[0.5, -0.1], [1, 2], [3, 4], [0, 0]]


@pytest.mark.parametrize("header", ["", "5 2\n"])
@pytest.mark.parametrize("name", ["vectors.txt", "vectors.vec.gz"])
def test_the_vector_of_each_word_of_the_vocabulary_is_read(
    tmp_path: Path, name: str, header: str
) -> None:
    content = (header + LINES).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    vectors = read_vectors(tmp_path / name, IDS, 7)
    np.testing.assert_array_equal(vectors.table, np.array(EXPECTED, np.float32))
    assert vectors.table.dtype == np.float32
    assert vectors.known_words == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: it has no numbers after a word"),
        (b"text,label\nfine,1\n", "line 1: it has no numbers"),
        (b"film good\n", "line 1: a field after the word is not a number"),
        (b"the 1 2\nfilm 1\n", "line 2: it does not have 2 numbers after a word"),
        (b"the 1 2\nfilm 1 nan\n", "line 2: a field after the word is not a number"),
        (b"the 1 2\nof 3 4\n", "has no vector for any word"),
        (b"1 99999999999999999999\nfilm good\n", "line 2: a field after the word is not"),
        (b"2 3\nof 1 2 3\nfilm 1 2\n", "line 3: it does not have 3 numbers"),
    ],
)
def test_a_file_without_word_vectors_is_one_message(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_vectors(tmp_path / "a.txt", IDS, 7)


@pytest.mark.parametrize(
    "content",
    [None, b"film 1 2\n", gzip.compress(LINES.encode())[:-12]],
    ids=["missing", "no gzip", "cut"],
)
def test_a_file_that_cannot_be_read_is_one_message(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"Use a text file with a word and the numbers"):
        read_vectors(path, IDS, 7)
