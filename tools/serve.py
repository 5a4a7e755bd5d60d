"""`make serve`: `mlflow models serve` of the champion, on the loopback."""

import os
import signal
import subprocess
import sys

from stages import store
from stages.command import UserError, prepare_environment
from tools import champion
from tools.ui import HOST, chosen_port

PORT = 5001


def command(model_uri: str, number: int) -> list[str]:
    """The command that serves a model in this environment."""
    options = ["--env-manager", "local", "--host", HOST, "--port", str(number)]
    return [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model_uri, *options]


def main() -> int:
    prepare_environment()
    number = chosen_port("SERVE_PORT", PORT)
    model_uri = champion.uri()
    print(f"Serving {model_uri} on http://{HOST}:{number}/invocations", flush=True)
    # artifact locations are relative to the root, and whatever ends this ends the server
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.tracking_uri()}
    server = subprocess.Popen(
        command(model_uri, number), cwd=store.root(), env=environment, process_group=0
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        end_group(server)


def end_group(server: "subprocess.Popen[bytes]") -> None:
    """End the server with the processes that it started."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"make serve: {error}")
