"""The model version that predicts, and the champion that takes its place."""

from collections.abc import Callable
from typing import NamedTuple

from extras.serve.batching import Batcher
from workflow import registry, store, versions


class ServedModel(NamedTuple):
    """A model version.

    Attributes:
        version: the URI of the version.
        batcher: predicts texts by the version.
    """

    version: str
    batcher: Batcher


# From the URI of the version that predicts to the version that replaces it, if there is one
FindReplacement = Callable[[str], ServedModel | None]


def load_version(version: str) -> ServedModel:
    """Load a version, given by its URI.

    Raises:
        UserError: it cannot be loaded.
    """
    return ServedModel(version, Batcher(versions.load_model(version).predict_texts))


def load_new_champion(name: str, version: str) -> ServedModel | None:
    """Load the champion of a registered model.

    Args:
        name: name of the registered model.
        version: URI of the version that predicts now.

    Returns:
        None if there is no champion, or the same one.

    Raises:
        UserError: the store cannot be used, or the champion cannot be loaded.
    """
    with store.store_errors():
        champion = registry.find_champion(name)
    if champion is None or versions.version_uri(champion) == version:
        return None
    return load_version(versions.version_uri(champion))
