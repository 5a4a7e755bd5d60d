"""Predict the parts of a source that are not predicted yet, and keep each one as a file.

The files are in a folder that is named after everything that the predictions depend on. A command
that was killed therefore finds them again. A changed file or another version has another folder.
"""

import math
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from extras.score import parts, workers
from extras.score.source import Source

SCRATCH = Path(".score")
LOG_SECONDS = 30  # between two lines of progress in a log


def predict_source(
    source: Source, labels: Sequence[str], model_uri: str, scheduler: str | None
) -> list[Path]:
    """Return the files of all parts, in the order of the rows.

    Args:
        labels: the labels of the model.
        model_uri: URI of the logged model, which no other store has.
        scheduler: address of a Dask scheduler. None: this process predicts.

    Raises:
        UserError: see `Source.check_rows`; or the model or the workers cannot be used.
    """
    folder = SCRATCH / source.digest(model_uri, labels, parts.PART_ROWS)
    rows = source.check_rows(labels)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    numbers = range(1, math.ceil(rows / parts.PART_ROWS) + 1)
    paths = {number: folder / f"part-{number:06}.parquet" for number in numbers}
    missing = {number for number, path in paths.items() if not path.exists()}
    if missing:
        # A server may have added rows to its log since.
        split = parts.split_rows(islice(source.rows(), rows))
        to_predict = (part for part in split if part.number in missing)
        with workers.start_client(scheduler) as client:
            predicted = workers.predict_parts(client, to_predict, model_uri)
            bar = tqdm(
                predicted,
                total=len(paths),
                initial=len(paths) - len(missing),
                unit=" parts",
                mininterval=1 if sys.stderr.isatty() else LOG_SECONDS,
            )
            for number, table in bar:
                parts.write_part(paths[number], table)
    return list(paths.values())
