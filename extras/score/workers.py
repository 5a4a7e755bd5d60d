"""Dask, which predicts parts: in this process, or on the workers of a cluster."""

import logging
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice

import dask
import pyarrow as pa
from distributed import Client, Future, KilledWorker, as_completed
from distributed.comm import CommClosedError

from extras.score.parts import Part, predict_part
from sentiment.errors import UserError

CONNECT_SECONDS = 10
OWN_PORT = "127.0.0.1:0"  # of Dask's pages, which all networks would see otherwise
CONFIG = {
    "distributed.admin.low-level-log-length": 0,  # messages, and so texts, would be kept in memory
    "distributed.admin.large-graph-warning-threshold": "1 GB",  # a part may have 100 MB of texts
}


@contextmanager
def start_client(scheduler: str | None) -> Iterator[Client]:
    """Connect to the scheduler at an address or, without one, to a worker in this process.

    Raises:
        UserError: the scheduler does not answer, or has no workers.
    """
    with dask.config.set(CONFIG), connect_to(scheduler) if scheduler else own_worker() as client:
        yield client


def own_worker() -> Client:
    """Start a worker in this process."""
    return Client(
        processes=False,
        n_workers=1,
        threads_per_worker=1,  # the model uses all cores
        memory_limit=0,  # otherwise Dask may write texts to the disk
        dashboard_address=OWN_PORT,
        worker_dashboard_address=OWN_PORT,
        silence_logs=logging.CRITICAL,
    )


def connect_to(scheduler: str) -> Client:
    """Connect to the scheduler at an address.

    Raises:
        UserError: it does not answer, or has no workers.
    """
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # tracebacks of a lost one
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise UserError(
            f"The Dask scheduler at {scheduler} does not answer ({error}). Start it with `dask "
            "scheduler`, or leave --scheduler out."
        ) from None
    if not client.nthreads():
        client.close()
        raise UserError(
            f"The Dask scheduler at {scheduler} has no workers. Start some with `dask worker "
            f"{scheduler} --nthreads 1`."
        )
    return client


def predict_parts(
    client: Client, parts: Iterator[Part], model_uri: str
) -> Iterator[tuple[int, pa.Table]]:
    """Predict parts. See `extras.score.parts.predict_part`.

    Each thread has at most two parts at a time, so that the texts are never all in memory. A part
    whose worker is lost is predicted by another one.

    Returns:
        The predicted parts, in the order in which they are finished.

    Raises:
        UserError: a worker cannot load the model, the scheduler is lost, or a part's worker was
            lost several times.
    """

    def submit(part: Part) -> Future:
        return client.submit(predict_part, part, model_uri, pure=False)

    threads = sum(client.nthreads().values())
    running = as_completed(map(submit, islice(parts, 2 * threads)))
    try:
        for future in running:
            yield future.result()
            running.update(map(submit, islice(parts, 1)))
    except (KilledWorker, CommClosedError, CancelledError) as error:
        raise UserError(
            f"The Dask scheduler or its workers are lost ({type(error).__name__}). Start them "
            "again, with more memory if workers were killed, and call the command again. "
            "Finished parts are kept."
        ) from None
