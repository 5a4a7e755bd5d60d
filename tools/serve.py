"""`make serve`: serve the champion, or another model version, over HTTP on the loopback."""

import signal
from pathlib import Path

from sentiment.errors import UserError
from workflow.commands import command, model_option, option, port_option, run_command
from workflow.processes import LOOPBACK, check_port_is_free
from workflow.registry.champion import load_model, model_uri_of, resolve_version

PORT = "SERVE_PORT"


@command(__doc__)
@port_option(PORT, default=5001)
@model_option
@option("--log", envvar="LOG", help="Log predictions in this folder, in one file a day.")
@option("--log-texts", envvar="LOG_TEXTS", is_flag=True, help="Also log the texts.")
def main(port: int, model_uri: str | None, log: str | None, log_texts: bool) -> None:
    if log_texts and not log:
        raise UserError("LOG_TEXTS=1 needs the folder of the log. Add LOG=log.")
    check_port_is_free(port, PORT)
    version_uri = model_uri_of(resolve_version(model_uri))
    model = load_model(version_uri)

    # FastAPI takes a while to import, which `--help` and a wrong option need not wait for.
    from workflow.serving.app import create_app, serve
    from workflow.serving.prediction_log import PredictionLog

    prediction_log = PredictionLog(Path(log), version_uri, log_texts) if log else None
    app = create_app(model, version_uri, prediction_log)
    print(f"Serving {version_uri} on http://{LOOPBACK}:{port}/invocations", flush=True)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        # uvicorn handles SIGTERM. It would swallow what another handler raises during a request.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    serve(app, LOOPBACK, port)


if __name__ == "__main__":
    run_command("make serve", main)
