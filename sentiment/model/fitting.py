"""What the training of a table of one's own texts needs: enough steps, and no endings of few words.

The params of a model are made for 25,000 long reviews.
"""

import math
from collections.abc import Iterator

from sentiment.model.batches import count_steps
from sentiment.params import AnyModel, LinearParams

MIN_BATCH_SIZE = 4  # texts; the steps of smaller batches follow single texts
SHORT_TEXT = 25  # words; the last quarter of such a text has at most seven


def fit_to_table(section: AnyModel, texts: int, median_words: float) -> AnyModel:
    """Return a section with the values that fit a table.

    Batches get smaller until a training has `min_steps`. It has more epochs only if even batches of
    `MIN_BATCH_SIZE` are too large for that. A linear model of short texts reads no endings.

    Args:
        texts: number of the texts that the model learns from.
        median_words: half of the training texts have at most as many words.
    """
    batch_size = section.batch_size
    while (
        batch_size > MIN_BATCH_SIZE
        and count_steps(texts, batch_size, section.epochs) < section.min_steps
    ):
        batch_size -= 1
    epochs = max(section.epochs, math.ceil(section.min_steps / count_steps(texts, batch_size, 1)))
    changes: dict[str, float] = {"batch_size": batch_size, "epochs": epochs}
    if isinstance(section, LinearParams) and median_words <= SHORT_TEXT:
        changes["ending"] = 0.0
    return section.model_copy(update=changes)


def describe_fit(section: AnyModel, fitted: AnyModel, texts: int) -> Iterator[str]:
    """Yield a line for each decision of `fit_to_table`.

    Args:
        section: the section before. `fitted` is the one after.
    """
    if (section.batch_size, section.epochs) != (fitted.batch_size, fitted.epochs):
        yield (
            f"{fitted.epochs} epochs with batches of {fitted.batch_size}, so that {texts:,} texts "
            f"give at least {section.min_steps:,} steps (min_steps)"
        )
    endings = [each.ending for each in (section, fitted) if isinstance(each, LinearParams)]
    if len(set(endings)) > 1:
        yield f"No endings, because half of the texts have at most {SHORT_TEXT} words (ending)"
