"""`sentiment serve`: serve a model version over HTTP, with a page to try it."""

import socket

import click

from sentiment import options
from sentiment.errors import UserError
from sentiment.project.files.params_file import load_params
from sentiment.project.files.paths import Project
from sentiment.terminal import show
from sentiment.tracking import address, store

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
@options.model_uri(shown_default="the champion")
@click.pass_obj
def command(project: Project, port: int, model_uri: str | None) -> None:
    """Serve the champion over HTTP, with a page to try it.

    Restart the server to serve a new champion.
    """
    import uvicorn

    from sentiment.serve.app import create_app
    from sentiment.tracking import loading

    check_port_is_free(port)
    fetch = load_params(project).fetch
    client = store.connect_to_read(project)
    with address.store_errors():
        loaded = loading.load_named(project, client, model_uri, fetch)
    if loaded.note:
        show(loaded.note)
    show(f"Serving {loaded.title}\nPage: http://{LOOPBACK}:{port}")
    uvicorn.run(
        create_app(loaded.title, loaded.model),
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
        UserError: the port is taken or not allowed.
    """
    try:
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # without the address, which Python adds
        raise UserError(
            f"Port {port} cannot be used: {reason}. Choose another one with --port."
        ) from None
