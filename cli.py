"""The command `sentiment`: what DVC and MLflow have no command for.

Each extra whose folder is there adds a command of its own.
"""

import importlib
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from sentiment.errors import UserError
from tracking.store import UI_PORT
from workflow.commands import git, run_dvc
from workflow.loopback import LOOPBACK, check_port_is_free
from workflow.params_file import (
    PARAMS_FILE,
    changed_params,
    load_params,
    update_params_file,
)
from workflow.stage import describe_error, quiet_libraries

EXTRAS = Path(__file__).parent / "extras"
RESULTS = (str(PARAMS_FILE), "dvc.lock", "metrics")
MAX_WORDS = 5  # words with the largest effects


class Commands(click.Group):
    """The commands of the core and the extras, with one message for each problem of a user."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        extras = (path.parent.name.replace("_", "-") for path in EXTRAS.glob("*/command.py"))
        return sorted([*super().list_commands(ctx), *extras])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = cmd_name.replace("-", "_")
        if not (EXTRAS / module / "command.py").is_file():
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"extras.{module}.command").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `| head`: click exits quietly
            raise
        except Exception as error:
            message = describe_error(error, "the command")
            if message is None:
                raise
            raise click.ClickException(message) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Classify texts, with DVC and MLflow."""
    quiet_libraries()


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("dvc_options", nargs=-1, type=click.UNPROCESSED)
def repro(dvc_options: tuple[str, ...]) -> None:
    """Run the pipeline by `dvc repro`, and log it to MLflow.

    All options of `dvc repro` work, such as --force or --pull. Wrong params are refused before DVC
    removes anything. If IMDB cannot be downloaded, the synthetic dataset takes its place.
    Afterwards, everything that MLflow lacks is logged.
    """
    from tracking import publish, store
    from workflow import baseline, before_repro, own_table

    params = load_params()
    is_dry = "--dry" in dvc_options
    if not is_dry and "--pull" not in dvc_options:  # DVC downloads nothing, or pulls the dataset
        before_repro.check_files_exist(params.fetch)
        before_repro.use_synthetic_dataset_if_imdb_is_unavailable(
            params, before_repro.forces_fetch(dvc_options)
        )
    before_repro.remove_empty_cache_entries()
    status = run_dvc("repro", *dvc_options)
    if status or is_dry:
        sys.exit(status)
    try:
        run = publish.sync(params.promote.alpha)
    except (UserError, OSError) as error:  # DVC may have run only the first stages
        click.echo(f"Not logged to MLflow: {describe_error(error, '`sentiment sync`')}", err=True)
    else:
        click.echo(run.describe(store.ui_has_run(run.run_id)))
        accuracies = baseline.accuracies_on_two_machines()
        if accuracies:
            click.echo(baseline.describe_other_machine(*accuracies))
        for advice in own_table.tracking_advice(params.fetch):
            click.echo(advice)
        changed = own_table.changed_files(params.fetch)
        if changed or git("status", "--porcelain", "--", *RESULTS):
            to_add = shlex.join([*RESULTS, *changed])
            click.echo(f"To keep it: git add {to_add}, then git commit")
    if load_params().fetch.dataset == "synthetic":
        click.echo(before_repro.SYNTHETIC_NOTE)


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=UI_PORT, show_default=True)
def ui(port: int) -> None:
    """Serve MLflow's UI, and print the link to the runs."""
    from tracking import registry, store

    experiment_id = registry.connect_experiment(load_params().fetch.dataset_name)
    uri = store.tracking_uri()
    if not store.is_server(uri):
        check_port_is_free(port)
    click.echo(f"The runs:\n  {store.runs_url(experiment_id, port)}")
    if store.is_server(uri):
        return
    sys.stdout.flush()
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    os.environ["MLFLOW_WORKERS"] = "1"  # four would start in four times the memory
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # jobs are for language models
    command = [sys.executable, "-m", "mlflow", "ui", "--host", LOOPBACK, "--port", str(port)]
    os.execv(sys.executable, command)


@main.command()
def sync() -> None:
    """Log everything in data/ that MLflow lacks. A second call changes nothing.

    Run it after the store was unreachable, after `dvc pull` or `dvc exp apply`, or if somebody
    deleted artifacts or versions in MLflow.
    """
    from tracking import publish, store

    run = publish.sync(load_params().promote.alpha)
    click.echo(run.describe(store.ui_has_run(run.run_id)))


@main.command()
@click.argument("run_id", metavar="[RUN]", required=False)
def reproduce(run_id: str | None) -> None:
    """Train and evaluate a RUN again, and compare the results.

    This happens in a clone with the commit, the uncommitted changes, the params and the data of the
    run, and the packages of this environment. All results are compared bit for bit. Without RUN:
    the run of the results in data/. Nothing in the project changes. The exit status is 1 if a
    result differs. This runs the code of whoever logged the run.
    """
    import signal
    import tempfile

    from tracking import record, reproduction, store

    store.connect_to_read()
    recorded = record.read_recorded_run(run_id or record.find_own_run())
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that the clone is removed
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    with tempfile.TemporaryDirectory() as scratch:
        comparison = reproduction.reproduce_run(recorded, Path(scratch) / "clone")
    click.echo(reproduction.describe_comparison(recorded, comparison))
    sys.exit(not comparison.is_equal)


@main.command()
@click.argument("name", required=False)
@click.option("--with-dataset", is_flag=True, help="Also set the params of the dataset back.")
@click.option("--run", "run_id", metavar="RUN", help="Write all params of a run instead.")
def preset(name: str | None, with_dataset: bool, run_id: str | None) -> None:
    """Write the params of a preset, or of a run, into params.yaml.

    A preset is a file presets/NAME.yaml. All other params of pad and train get their defaults, so
    that two presets never mix. `default` restores all defaults.
    """
    from tracking import record, store
    from workflow import presets

    if (name is None) == (run_id is None):
        raise click.UsageError("Give either the name of a preset or --run RUN.")
    if run_id and with_dataset:
        raise click.UsageError("--run writes the params of the dataset, too: leave --with-dataset.")
    if name is not None:
        changes = presets.apply_preset(name, with_dataset)
    else:
        store.connect_to_read()
        changes = update_params_file(record.read_params(str(run_id)))
    click.echo("\n".join(changes) or f"{PARAMS_FILE} has these values already.")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--text", help="Column of the texts.")
@click.option("--label", help="Column of the labels.")
@click.option("--test", type=click.Path(path_type=Path), help="Table of the test set.")
@click.option("--positive", default="", help="The positive one of two labels.")
def dataset(
    file: Path, text: str | None, label: str | None, test: Path | None, positive: str
) -> None:
    """Check a table of your own texts, and name it in params.yaml.

    Columns such as `text` and `label` are found by their names. Without --test, a share of the
    table becomes the test set.
    """
    from sentiment.data.columns import find_columns
    from sentiment.data.dataset import load_dataset
    from sentiment.data.description import describe_dataset, describe_lengths
    from workflow import own_table

    params = load_params()
    columns = find_columns(file, text, label)
    train = own_table.project_path(file)
    changes = {
        "fetch.dataset": "table",
        "fetch.table.train": train,
        "fetch.table.test": own_table.project_path(test) if test else train,
        "fetch.table.text": columns.text,
        "fetch.table.label": columns.label,
        "fetch.table.positive": positive,
    }
    fetch = changed_params(params, changes).fetch
    loaded = load_dataset(fetch)
    click.echo(f"Texts: column {columns.text!r}. Labels: column {columns.label!r}.")
    click.echo(describe_dataset(fetch.dataset_name, loaded))
    click.echo(f"  {describe_lengths(loaded, params.pad.max_length)}")
    written = update_params_file(changes)
    click.echo("\n".join(written) or f"{PARAMS_FILE} has these values already.")
    for advice in own_table.tracking_advice(fetch):
        click.echo(advice)
    click.echo(own_table.recommend_preset(len(loaded.train), params.train.architecture))
    click.echo("Then: sentiment repro")
    click.echo("To go back to IMDB and all defaults: sentiment preset default --with-dataset")


@main.command()
@click.argument("text")
@click.option("--model", "model_uri", help="A version such as models:/imdb-sentiment/1.")
def predict(text: str, model_uri: str | None) -> None:
    """Predict the label of a TEXT, and show the words that matter."""
    from tracking import store, versions

    if not text.strip():
        raise click.UsageError("There is no text.")
    with store.store_errors():
        store.connect_to_read()
        version = versions.resolve_version(model_uri, load_params().fetch.dataset_name)
        model = versions.load_model(versions.version_uri(version))
    explanation = model.explain(text)
    strongest = sorted(explanation.words, key=lambda word: -abs(word.log_odds))[:MAX_WORDS]
    words = [f"{text[word.start : word.end]} {word.log_odds:+.2f}" for word in strongest]
    click.echo(f"{explanation.label}, probability {explanation.probability:.4f}")
    if words:
        click.echo(f"Words that matter most: {', '.join(words)}")


@main.command()
@click.argument("run_id", metavar="RUN")
def promote(run_id: str) -> None:
    """Make the model of a RUN the champion, whatever was decided."""
    from tracking import champion, registry, store

    if not registry.RUN_ID.fullmatch(run_id):
        raise click.BadParameter(f"{run_id} is not the id of a run. `sentiment ui` shows the ids.")
    with store.store_errors():
        registry.connect_experiment(load_params().fetch.dataset_name)
        champion.promote_run(run_id)


def run() -> None:
    """Run the installed command, and say so if it has the code of another clone."""
    own = Path(__file__).resolve().parent
    if Path("cli.py").is_file() and Path.cwd() != own:
        click.echo(
            f"This command runs the code in {own}, because its environment was built there. To run "
            "the code in this folder: python -m cli",
            err=True,
        )
    main()


if __name__ == "__main__":
    main()
