"""`make serve`: `mlflow models serve` of the champion, on the loopback."""

import os
import sys

from workflow import children, cli
from workflow.children import HOST
from workflow.registry import champion
from workflow.runs import store

PORT = "SERVE_PORT"


@cli.command(__doc__)
@children.port_option(PORT, default=5001)
@cli.model_option
def main(port: int, model: str | None) -> int:
    children.require_free(port, PORT)
    model_uri = champion.uri(model)
    print(f"Serving {model_uri} on http://{HOST}:{port}/invocations", flush=True)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.tracking_uri()}
    options = ["--model-uri", model_uri, "--host", HOST, "--port", str(port)]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    return children.run([*command, *options], environment)


if __name__ == "__main__":
    cli.run("make serve", main)
