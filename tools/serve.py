"""`make serve`: `mlflow models serve` of the champion, on the loopback."""

import os
import sys

from sentiment.errors import UserError
from workflow import children, cli
from workflow.registry import champion, versions
from workflow.runs import store

PORT = "SERVE_PORT"


@cli.command(__doc__)
@children.port_option(PORT, default=5001)
@cli.model_option
@cli.option("--log", variable="LOG", help="Log what is answered, in a file a day in this folder.")
@cli.option("--log-texts", variable="LOG_TEXTS", is_flag=True, help="Log the texts, too.")
def main(port: int, model: str | None, log: str | None, log_texts: bool) -> int:
    if log_texts and not log:
        raise UserError("LOG_TEXTS=1 needs the log's folder: add LOG=log.")
    children.require_free(port, PORT)
    model_uri = champion.uri(model)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.tracking_uri()}
    if log:
        from workflow.registry.scoring_server import FOLDER, TEXTS, VERSION  # imports MLflow

        version = champion.version(model)
        model_uri = f"models:/{version.name}/{version.version}"
        if versions.LOGS not in version.tags:
            raise UserError(
                f"{model_uri} cannot log: register it anew by `make repro`, then promote that one."
            )
        environment |= {FOLDER: log, VERSION: model_uri, TEXTS: str(int(log_texts))}
    print(f"Serving {model_uri} on http://{children.HOST}:{port}/invocations", flush=True)
    options = ["--model-uri", model_uri, "--host", children.HOST, "--port", str(port)]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    return children.run([*command, *options], environment)


if __name__ == "__main__":
    cli.run("make serve", main)
