"""`sentiment serve`: serve a model version over HTTP."""

from functools import partial
from pathlib import Path

import click

from extras.common.operations import connect_to_version, model_option
from workflow.loopback import LOOPBACK, check_port_is_free


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
    help="Log predictions in this folder.",
)
@click.option("--log-texts", is_flag=True, help="Log the texts as well.")
def command(port: int, model_uri: str | None, folder: Path | None, log_texts: bool) -> None:
    """Serve the champion over HTTP, and each new champion within a minute.

    With --model, this version is served, whatever the champion is.
    """
    from extras.common.prediction_log import PredictionLog
    from extras.serve.champion import load_new_champion, load_version
    from workflow.versions import version_uri

    if log_texts and folder is None:
        raise click.UsageError("--log-texts needs a folder. Add --log FOLDER.")
    check_port_is_free(port)
    log = None
    if folder is not None:
        log = PredictionLog(folder, log_texts)
        log.check()
    version = connect_to_version(model_uri)
    served = load_version(version_uri(version))

    from extras.serve.app import create_app, serve

    find_replacement = None if model_uri else partial(load_new_champion, version.name)
    click.echo(f"Serving {served.version} on http://{LOOPBACK}:{port}/invocations")
    serve(create_app(served, log, find_replacement), port)
