"""Read pretrained word vectors, as GloVe, word2vec and fastText publish them as text.

A line has a word and the numbers of its vector, separated by spaces. A first line may say how many
words there are, and how many numbers each has. The file may be compressed by gzip (.gz).

Sources: Pennington et al. 2014, *GloVe*; Mikolov et al. 2013, *word2vec*; Bojanowski et al. 2017,
*fastText*.
"""

import gzip
import itertools
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from sentiment.errors import UserError, first_line

BLANKS = b" \t\r\n"
FILE_ADVICE = (
    "Use a text file with a word and the numbers of its vector on each line, as GloVe "
    "(nlp.stanford.edu/projects/glove) and fastText (fasttext.cc) publish them."
)


class WordVectors(NamedTuple):
    """The vectors of a vocabulary.

    Attributes:
        table: the vector of each token id, shape (num_words, size), float32. Zeros: it has none.
        known_words: number of words that have one.
    """

    table: NDArray[np.float32]
    known_words: int


def read_vectors(path: Path, token_ids: Mapping[str, int], num_words: int) -> WordVectors:
    """Read the vectors of the words that have a token id. Of equal words, the first one counts.

    Args:
        token_ids: the token id of each word of the vocabulary.
        num_words: number of token ids.

    Raises:
        UserError: there is no such file, it is not a file of word vectors, or it has no word of
            the vocabulary.
    """
    ids = {word.encode(): token_id for word, token_id in token_ids.items()}
    vectors: dict[int, NDArray[np.float32]] = {}
    try:
        with _open(path) as file:
            lines = enumerate(file, 1)
            size, first_number, first = _read_first(path, lines)
            for number, line in itertools.chain([(first_number, first)], lines):
                fields = line.strip(BLANKS).rsplit(b" ", size)
                if len(fields) != size + 1:
                    problem = f"it does not have {size} numbers after a word, separated by blanks"
                    raise _damaged(path, number, problem)
                token_id = ids.get(fields[0])
                if token_id is not None and token_id not in vectors:
                    vectors[token_id] = _parse(path, number, fields[1:])
    except FileNotFoundError:
        raise UserError(f"vectors: there is no file {path}. {FILE_ADVICE}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}. {FILE_ADVICE}") from None
    if not vectors:
        raise UserError(
            f"{path} has no vector for any word of the vocabulary. Name vectors of its language, "
            "in lower case."
        )
    table = np.zeros((num_words, size), np.float32)
    table[list(vectors)] = list(vectors.values())
    return WordVectors(table, len(vectors))


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _read_first(path: Path, lines: Iterator[tuple[int, bytes]]) -> tuple[int, int, bytes]:
    """Return the size of the vectors, and the number and the text of the first line with one.

    Raises:
        UserError: the first lines have no vector.
    """
    number, line = next(lines, (1, b""))
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        counted = int(fields[1])
        number, line = next(lines, (2, b""))
        # A line has fewer numbers than bytes. Python cannot split at any larger count.
        fields = line.strip(BLANKS).rsplit(b" ", min(counted, len(line)))
    size = len(fields) - 1
    if size < 1:
        raise _damaged(path, number, "it has no numbers after a word")
    _parse(path, number, fields[1:])  # further lines are parsed only if they have a known word
    return size, number, line


def _parse(path: Path, number: int, fields: list[bytes]) -> NDArray[np.float32]:
    """Return the numbers of a line.

    Raises:
        UserError: a field is not a finite number.
    """
    try:
        vector = np.array(fields, np.float32)
    except ValueError:
        vector = np.full(1, np.nan, np.float32)
    if not np.isfinite(vector).all():
        raise _damaged(path, number, "a field after the word is not a number")
    return vector


def _damaged(path: Path, number: int, problem: str) -> UserError:
    return UserError(f"{path}, line {number}: {problem}. {FILE_ADVICE}")
