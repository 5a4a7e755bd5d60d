"""`make serve`: `mlflow models serve` of the champion, on the loopback."""

import os
import sys

from sentiment.process import run_command
from sentiment.registry import champion
from sentiment.runs import store
from tools.running import server
from tools.running.server import HOST

PORT = 5001


def command(model_uri: str, number: int) -> list[str]:
    """The command that serves a model in this environment."""
    options = ["--env-manager", "local", "--host", HOST, "--port", str(number)]
    return [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model_uri, *options]


def main() -> int:
    number = server.chosen_port("SERVE_PORT", PORT)
    model_uri = champion.uri()
    print(f"Serving {model_uri} on http://{HOST}:{number}/invocations", flush=True)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.tracking_uri()}
    return server.run(command(model_uri, number), environment)


if __name__ == "__main__":
    run_command("make serve", main)
