"""The version that predicts, and the champion that takes its place."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sentiment.errors import first_line
from sentiment.serve.batching import Batcher
from sentiment.tracking import registry, store, versions

if TYPE_CHECKING:
    from sentiment.prediction.pyfunc_model import SentimentModel

CHECK_SECONDS = 10.0  # between two looks for a new champion
logger = logging.getLogger(__name__)


class ServedVersion(NamedTuple):
    """A version that is loaded.

    Attributes:
        batcher: predicts texts by the model.
        explaining: held while the model explains a prediction. Eight explanations at once would
            let a prediction wait for seconds.
    """

    uri: str
    model: "SentimentModel"
    batcher: Batcher
    explaining: asyncio.Lock


def load_version(uri: str) -> ServedVersion:
    """Load a version.

    Raises:
        UserError: it cannot be loaded.
    """
    model = versions.load_model(uri)
    return ServedVersion(uri, model, Batcher(model.predict_texts), asyncio.Lock())


def load_new_champion(name: str, served: str) -> ServedVersion | None:
    """Load the champion of a registered model.

    Args:
        name: name of the registered model.
        served: URI of the version that predicts now.

    Returns:
        None if there is no champion, or the same one.

    Raises:
        UserError: the store cannot be used, or the champion cannot be loaded.
    """
    with store.store_errors():
        champion = registry.find_champion(name)
    if champion is None or versions.version_uri(champion) == served:
        return None
    return load_version(versions.version_uri(champion))


async def follow_champion(
    served: str,
    find_replacement: Callable[[str], ServedVersion | None],
    replace: Callable[[ServedVersion], None],
) -> None:
    """Replace the version whenever another one takes its place. Report a problem once.

    Args:
        served: URI of the version that predicts at first.
        find_replacement: see `load_new_champion`, without the name.
        replace: lets a version predict from now on.
    """
    reported = ""
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        problem = ""
        try:
            replacement = await asyncio.to_thread(find_replacement, served)
        except Exception as error:  # whatever happens, the present version can predict
            replacement = None
            problem = first_line(error) or type(error).__name__
        if problem not in ("", reported):
            logger.warning("%s is still served. %s", served, problem)
        reported = problem
        if replacement is not None:
            replace(replacement)
            served = replacement.uri
            print(f"Serving {served} from now on", flush=True)
