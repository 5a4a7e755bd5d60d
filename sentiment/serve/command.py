"""`sentiment serve`: serve a model version over HTTP, with a page to try it."""

import socket
from functools import partial
from pathlib import Path

import click

from sentiment.errors import UserError
from sentiment.tracking.operations import connect_to_version, model_option

LOOPBACK = "127.0.0.1"  # no other machine reaches it
SHUTDOWN_SECONDS = 4  # requests may take this long to finish after a signal


@click.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=5001,
    show_default=True,
    help="Listen on this port of the loopback address.",
)
@model_option
@click.option(
    "--log",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Log texts and predictions in this folder.",
)
def command(port: int, model_uri: str | None, folder: Path | None) -> None:
    """Serve the champion over HTTP, with a page to try it.

    A new champion is served, usually within 20 seconds. With --model, this version is served,
    whatever the champion is.
    """
    import uvicorn

    from sentiment.serve.app import create_app
    from sentiment.serve.follow import load_new_champion, load_version
    from sentiment.serve.log import PredictionLog
    from sentiment.tracking.versions import version_uri

    check_port_is_free(port)
    log = None
    if folder is not None:
        log = PredictionLog(folder)
        log.check()
    version = connect_to_version(model_uri)
    served = load_version(version_uri(version))
    find_replacement = None if model_uri else partial(load_new_champion, version.name)
    app = create_app(served, log, find_replacement)
    click.echo(f"Serving {served.uri}\nPage: http://{LOOPBACK}:{port}")
    uvicorn.run(
        app,
        host=LOOPBACK,
        port=port,
        ws="none",  # otherwise a request for a web socket would never get a response
        log_level="error",  # no line for each odd request
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def check_port_is_free(port: int) -> None:
    """Check that a server can listen on a port, before a model is loaded.

    Raises:
        UserError: it cannot.
    """
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        raise UserError(
            f"Port {port} cannot be used: {error.strerror}. Choose another one with --port."
        ) from None
