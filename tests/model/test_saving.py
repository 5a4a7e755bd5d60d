"""A saved model is plain Keras, and equal models have equal files."""

import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.errors import UserError
from sentiment.model.saving import check_loads, save_model
from sentiment.prediction.keras_classifier import load_keras_model
from tests.models import WORDS, new_model, splits

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "changes",
    [
        {
            "layers": 2,
            "bidirectional": True,
            "pooling": "max",
            "mask_padding": True,
            "schedule": "cosine",
            "dropout": {"embedding": 0.3, "head": 0.3},
        },
        {"model": "linear"},
    ],
    ids=["recurrent", "linear"],
)
def test_saved_model_is_loaded_as_plain_keras(changes: dict[str, Any], tmp_path: Path) -> None:
    model = new_model(**changes)
    rng = np.random.default_rng(0)
    model.get_layer("probability").set_weights(
        [rng.normal(size=weight.shape) for weight in model.get_layer("probability").get_weights()]
    )
    save_model(model, tmp_path / "model.keras")
    loaded = load_keras_model(tmp_path / "model.keras")
    tokens = rng.integers(0, 20, (20, 6))
    np.testing.assert_array_equal(loaded(tokens), model(tokens))
    modules = {entry["module"] for entry in loaded.get_config()["layers"]}
    assert {module.split(".")[0] for module in modules} == {"keras"}


def test_equal_models_give_equal_files(tmp_path: Path) -> None:
    for name in ("one.keras", "two.keras"):
        load_keras().utils.clear_session()  # otherwise the names of layers get other numbers
        save_model(new_model(bidirectional=True, pooling="mean"), tmp_path / name)
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.keras") as archive:
        assert b"date_saved" not in archive.read("metadata.json")


def test_a_network_with_a_layer_of_its_own_is_refused_by_name() -> None:
    import keras

    class Own(keras.layers.Layer):  # type: ignore[misc]
        """A layer that is not registered at Keras."""

        def call(self, x: object) -> object:
            return x

    tokens = keras.Input((6,), dtype="int32")
    words = Own()(keras.layers.Embedding(WORDS, 4)(tokens))
    outputs = keras.layers.Dense(1, "sigmoid")(keras.layers.GlobalMaxPooling1D()(words))
    with pytest.raises(UserError, match=r"not Keras' own: Own\. Use only Keras' own layers"):
        check_loads(keras.Model(tokens, outputs), splits()[1].x)


def test_a_network_that_does_not_load_is_refused() -> None:
    import keras

    tokens = keras.Input((6,), dtype="int32")
    words = keras.layers.Lambda(lambda x: x)(keras.layers.Embedding(WORDS, 4)(tokens))
    outputs = keras.layers.Dense(1, "sigmoid")(keras.layers.GlobalMaxPooling1D()(words))
    with pytest.raises(
        UserError, match=r"The network cannot be used: .*Use only Keras' own layers"
    ):
        check_loads(keras.Model(tokens, outputs), splits()[1].x)


def test_a_full_disk_is_not_called_a_fault_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    model = new_model()
    monkeypatch.setattr(type(model), "save", fail)
    with pytest.raises(OSError, match="No space left on device"):
        check_loads(model, splits()[1].x)
