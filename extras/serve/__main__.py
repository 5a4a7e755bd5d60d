"""Serve a model's folder over HTTP, as a container does.

MODEL_FOLDER is what `mlflow artifacts download` writes for a model version.
"""

from pathlib import Path

import click
import mlflow

from workflow.serving.app import create_app, serve
from workflow.serving.current_model import ServedModel
from workflow.serving.prediction_log import PredictionLog


@click.command(help=__doc__, context_settings={"show_default": True})
@click.argument("model_folder", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--version",
    required=True,
    help="URI of the model version, such as models:/imdb-sentiment/1, for /version and the log.",
)
@click.option("--host", default="127.0.0.1", help="Listen on this address.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, help="Listen on this port.")
@click.option("--log", type=Path, help="Log predictions in this folder, in one file a day.")
@click.option("--log-texts", is_flag=True, help="Also log the texts.")
def main(
    model_folder: str, version: str, host: str, port: int, log: Path | None, log_texts: bool
) -> None:
    if log_texts and log is None:
        raise click.UsageError("--log-texts needs the folder of the log. Add --log.")
    model = mlflow.pyfunc.load_model(model_folder).unwrap_python_model()
    prediction_log = None if log is None else PredictionLog(log, version, log_texts)
    print(f"Serving {version} on http://{host}:{port}/invocations", flush=True)
    serve(create_app(ServedModel(model, version, prediction_log)), host, port)


if __name__ == "__main__":
    main(prog_name="python -m workflow.serving")
