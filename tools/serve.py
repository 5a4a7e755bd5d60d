"""`make serve`: serve the champion, or another model version, over HTTP on the loopback.

When another version becomes champion, it is served within a minute. MODEL= keeps one version.
"""

import signal
import sys
from pathlib import Path

from sentiment.errors import UserError
from workflow.commands import command, model_option, option, port_option, run_command
from workflow.processes import LOOPBACK, check_port_is_free
from workflow.registry.champion import champion_version, model_uri_of, resolve_version
from workflow.registry.packaging import load_model
from workflow.serving.current_model import ServedModel
from workflow.serving.prediction_log import PredictionLog

PORT = "SERVE_PORT"


class VersionLoader:
    """A loader of model versions, which reports once why a version cannot be served.

    Args:
        log_folder: where to log predictions, if at all.
        log_texts: log the texts as well.
    """

    def __init__(self, log_folder: str | None, log_texts: bool) -> None:
        self.log_folder = log_folder
        self.log_texts = log_texts
        self._reported = ""

    def load_version(self, version_uri: str) -> ServedModel:
        """Load a version.

        Raises:
            UserError: the version cannot be loaded.
        """
        model = load_model(version_uri)
        log = None
        if self.log_folder:
            log = PredictionLog(Path(self.log_folder), version_uri, self.log_texts)
        return ServedModel(model, version_uri, log)

    def load_new_champion(self, served_uri: str) -> ServedModel | None:
        """Load the champion of the registered model that is served, unless it is served already."""
        name = served_uri.removeprefix("models:/").partition("/")[0]
        try:
            champion_uri = model_uri_of(champion_version(name))
            if champion_uri == served_uri:
                self._reported = ""
                return None
            served = self.load_version(champion_uri)
        except UserError as error:
            if str(error) != self._reported:
                print(f"{served_uri} is still served. {error}", file=sys.stderr, flush=True)
            self._reported = str(error)
            return None
        return served


@command(__doc__)
@port_option(PORT, default=5001)
@model_option
@option("--log", envvar="LOG", help="Log predictions in this folder, in one file a day.")
@option("--log-texts", envvar="LOG_TEXTS", is_flag=True, help="Also log the texts.")
def main(port: int, model_uri: str | None, log: str | None, log_texts: bool) -> None:
    if log_texts and not log:
        raise UserError("LOG_TEXTS=1 needs the folder of the log. Add LOG=log.")
    check_port_is_free(port, PORT)
    loader = VersionLoader(log, log_texts)
    served = loader.load_version(model_uri_of(resolve_version(model_uri)))

    # Importing FastAPI takes a while. `--help` and a wrong option should not wait for it.
    from workflow.serving.app import create_app, serve

    app = create_app(served, None if model_uri else loader.load_new_champion)
    print(f"Serving {served.version} on http://{LOOPBACK}:{port}/invocations", flush=True)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores SIGHUP
        # uvicorn handles SIGTERM. It would swallow what another handler raises during a request.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    serve(app, LOOPBACK, port)


if __name__ == "__main__":
    run_command("make serve", main)
