import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest

from sentiment.data import imdb
from sentiment.errors import UserError

INDEX = b'{"the": 1, "and": 2, "a": 3, "of": 4}'


def archive(**replacements: bytes) -> bytes:
    """Return a small imdb.npz that was made as the real one."""
    reviews = np.array([[1, 2, 3], [4]], dtype=object)
    labels = np.array([1, 0])
    buffer = io.BytesIO()
    test = {"x_test": reviews[::-1], "y_test": labels[::-1]}
    arrays = {"x_train": reviews, "y_train": labels, **test}
    with zipfile.ZipFile(buffer, "w") as file:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=True)
            # ZipInfo has the date 1980-01-01, so that every call gives the same bytes.
            entry = zipfile.ZipInfo(f"{name}.npy")
            file.writestr(entry, replacements.get(name, content.getvalue()))
    return buffer.getvalue()


def test_both_files_are_parsed() -> None:
    train, test, index = imdb.parse(archive(), INDEX)
    assert [review.tolist() for review in train] == [[1, 2, 3], [4]]
    assert [review.tolist() for review in test] == [[4], [1, 2, 3]]
    assert (train.labels.tolist(), test.labels.tolist()) == ([1, 0], [0, 1])
    assert index["of"] == 4


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("owned",)


def test_pickle_of_anything_but_arrays_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": (2,)}
    )
    content = header.getvalue() + pickle.dumps(Evil())
    with pytest.raises(UserError, match=r"print is not allowed"):
        imdb.parse(archive(x_train=content), INDEX)
    assert "owned" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [archive()[:-30], archive(x_train=b"no array")])
def test_other_archive_is_refused_with_one_message(content: bytes) -> None:
    with pytest.raises(UserError, match="is not the archive that Keras publishes"):
        imdb.parse(content, INDEX)
