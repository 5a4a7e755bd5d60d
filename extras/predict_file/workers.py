"""Dask workers that predict parts: processes on this machine, or those of a scheduler."""

import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import dask
import distributed
from distributed.comm import CommClosedError

from extras.predict_file.parts import Part, predict_part
from sentiment.errors import UserError
from workflow.loopback import LOOPBACK

if TYPE_CHECKING:
    import pyarrow as pa

CONNECT_SECONDS = 10


@contextmanager
def local_workers(count: int) -> Iterator[distributed.Client]:
    """Start processes on this machine, which use one core each, and yield their client.

    They listen on the loopback, and accept only calls with a certificate of their own. Otherwise
    every account of this machine could run code in them.
    """
    with (
        distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=0,
            host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:0",  # None would be port 8787, which may be taken
            security=True,
            silence_logs=logging.CRITICAL,  # Dask starts a lost worker again
            env={"TF_NUM_INTRAOP_THREADS": "1"},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextmanager
def scheduler_workers(address: str) -> Iterator[distributed.Client]:
    """Connect to a scheduler, and yield its client.

    Raises:
        UserError: the scheduler does not answer, or has no workers.
    """
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # tracebacks of a lost one
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise UserError(
            f"The Dask scheduler at {address} does not answer ({error}). Start it with "
            "`dask scheduler`, or leave --scheduler out."
        ) from None
    with client:
        if not client.nthreads():
            raise UserError(
                f"The Dask scheduler at {address} has no workers. Start some with "
                f"`dask worker {address} --nthreads 1`."
            )
        yield client


def predict_parts(
    client: distributed.Client, parts: Iterator[Part], model_uri: str, tracking_uri: str
) -> "Iterator[tuple[int, pa.Table]]":
    """Predict parts by workers. See `extras.predict_file.parts.predict_part`.

    Each worker has at most two parts at a time, so that a large file is never wholly in memory.
    A part whose worker is lost is predicted by another one.

    Returns:
        The predicted parts, in the order in which they are finished.

    Raises:
        UserError: the scheduler is lost, or a part's worker was lost several times.
    """

    def submit(part: Part) -> distributed.Future:
        return client.submit(predict_part, part, model_uri, tracking_uri, pure=False)

    threads = sum(client.nthreads().values())
    # Dask would warn of a part with more than 10 MB of texts.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):
        running = distributed.as_completed(map(submit, islice(parts, 2 * threads)))
        try:
            for future in running:
                yield future.result()
                running.update(map(submit, islice(parts, 1)))
        except (distributed.KilledWorker, CommClosedError, CancelledError) as error:
            raise UserError(
                f"The Dask scheduler or its workers are lost ({type(error).__name__}). Start them "
                "again, with more memory if workers were killed, and call the command again. "
                "Finished parts are kept."
            ) from None
