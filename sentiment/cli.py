"""The command `sentiment`: what DVC and MLflow have no command for.

Each optional folder of the package adds a command of its own while it is there.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from sentiment import options
from sentiment.errors import describe_error
from sentiment.libraries import quiet_libraries
from sentiment.project.files.params_file import (
    PARAMS,
    changed_params,
    load_params,
    update_params_file,
)
from sentiment.project.files.paths import Project
from sentiment.terminal import fit_to_terminal, show

PACKAGE = Path(__file__).parent  # a folder of it with a module `command` adds that command
SHOWN_WORDS = 5  # those with the largest effects
SHOWN_LABELS = 5  # the most probable ones
NOT_PROMOTED_STATUS = 3


class Commands(click.Group):
    """The commands, with one message for each problem that a user can fix."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        optional = (path.parent.name for path in PACKAGE.glob("*/command.py"))
        return sorted([*super().list_commands(ctx), *optional])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if not (PACKAGE / cmd_name / "command.py").is_file():
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"sentiment.{cmd_name}.command").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `| head`: click exits quietly
            raise
        except click.UsageError as error:
            raise click.UsageError(_fit(error.format_message()), error.ctx) from None
        except Exception as error:
            message = describe_error(error, "the command")
            if message is None:
                raise
            raise click.ClickException(_fit(message)) from None


def _fit(message: str) -> str:
    """Break the lines of a message between words. click writes `Error: ` before it."""
    return fit_to_terminal(f"Error: {message}").removeprefix("Error: ")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """Classify texts, with DVC and MLflow."""
    quiet_libraries()
    context.obj = Project.here()


@main.command()
@click.pass_obj
def log(project: Project) -> None:
    """Log the results in data/ to MLflow, and print their run.

    `dvc repro` logs by itself. Run this after MLflow's store was deleted, after `dvc pull`, and
    when DVC has restored earlier results. If a run has the results already, no other one is made.
    """
    from sentiment.tracking import results, store

    locked = results.read_locked_results(project)
    client = store.connect(project)
    run = results.log_results(project, client, *locked)
    show(f"Test Accuracy: {run.data.metrics['test_accuracy']:.4f}")
    show(results.describe_logged_run(run))


@main.command()
@click.option(
    "--port", type=int, envvar="MLFLOW_PORT", help="Without it, 5000 or the next free port."
)
@click.pass_obj
def ui(project: Project, port: int | None) -> None:
    """Serve MLflow's UI, and print the addresses of runs.

    If the runs are on a server, only print the addresses.
    """
    from sentiment.tracking import address, store
    from sentiment.tracking import ui as mlflow_ui

    show("Opening MLflow's store")
    dataset_name = load_params(project).fetch.dataset_name
    client = store.connect_to_read(project)
    if address.is_server(client.tracking_uri):
        show(mlflow_ui.describe_pages(client, address.shown_uri(client.tracking_uri), dataset_name))
        return
    port = port or mlflow_ui.find_port()
    show(mlflow_ui.describe_pages(client, f"http://127.0.0.1:{port}", dataset_name))
    show("Starting MLflow's UI, which takes some seconds. To stop it, press Ctrl-C.")
    sys.exit(mlflow_ui.serve_ui(client.tracking_uri, port))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--text", help="Column of the texts.")
@click.option("--label", help="Column of the labels.")
@click.option("--id", "id_column", help="Column of ids, which are copied to the predictions.")
@click.option("--test", type=click.Path(path_type=Path), help="Table of the test set.")
@click.option("--positive", help="The positive label, if there are two.")
@click.pass_obj
def dataset(
    project: Project,
    file: Path,
    text: str | None,
    label: str | None,
    id_column: str | None,
    test: Path | None,
    positive: str | None,
) -> None:
    """Check a table of your own texts, and name it in params.yaml.

    Columns such as `text` and `label` are found by their names. Without --test, a share of the
    table becomes the test set. If params.yaml names this table already, options that you leave out
    keep their values.
    """
    from sentiment.data.columns import find_columns
    from sentiment.data.dataset import load_dataset
    from sentiment.data.description import describe_dataset, describe_lengths
    from sentiment.project.versioning import own_table
    from sentiment.tracking.other_tables import describe_other_tables

    params = load_params(project)
    test_path = own_table.project_path(project, test) if test else None
    given = own_table.TableOptions(text, label, id_column, test_path, positive)
    options = own_table.keep_present(project, params.fetch, file, given)
    columns = find_columns(file, options.text, options.label)
    changes = own_table.table_changes(project, file, columns, options)
    fetch = changed_params(params, changes).fetch
    loaded = load_dataset(fetch)
    show(f"Texts: column {columns.text!r}. Labels: column {columns.label!r}.")
    show(describe_dataset(fetch.dataset_name, loaded))
    show(f"  {describe_lengths(loaded)}")
    written = update_params_file(project, changes)
    show("\n".join(written) or f"{PARAMS} has these values already.")
    for line in own_table.tracking_advice(project, fetch):
        show(line)
    other_tables = describe_other_tables(project, fetch)
    if other_tables:
        show(other_tables)
    if params.training.section.architecture != "linear":
        show("Begin with the linear model, which takes seconds: in params.yaml, model: linear")
    show("Then: `dvc repro`")
    show("To go back to IMDB: in params.yaml, dataset: imdb")


@main.command()
@click.argument("text")
@options.model_uri(shown_default="the model in data/train")
@click.pass_obj
def predict(project: Project, text: str, model_uri: str | None) -> None:
    """Predict the label of a TEXT, and show the words that matter."""
    from sentiment.tracking import address, loading, registry, store

    if model_uri is None:
        from sentiment.project.files.records import read_run_record

        threshold = load_params(project).evaluate.threshold
        model = loading.load_own_model(project, threshold)
        source = f"run {read_run_record(project).run_id[:8]}"
    else:
        client = store.connect_to_read(project)
        with address.store_errors():
            version = registry.named_version(client, model_uri)
            source = registry.version_uri(version)
            model = loading.load_model(source)
    explanation = model.explain(text)
    strongest = sorted(explanation.words, key=lambda word: -abs(word.log_odds))[:SHOWN_WORDS]
    words = [f"{text[word.start : word.end]} {word.log_odds:+.2f}" for word in strongest]
    if not words:
        show("The model knows none of these words.")
    show(f"{explanation.label}, probability {explanation.probability:.4f} ({source})")
    if len(explanation.probabilities) > 2:
        by_probability = sorted(explanation.probabilities.items(), key=lambda item: -item[1])
        listed = [f"{label} {share:.4f}" for label, share in by_probability[:SHOWN_LABELS]]
        show(f"All labels: {', '.join(listed)}")
    if words:
        show(f"Words that matter most: {', '.join(words)}")


@main.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@options.metric
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--force", is_flag=True, help="Promote without a comparison.")
@click.option("--undo", is_flag=True, help="Bring back the champion before.")
@click.pass_obj
def promote(
    project: Project, run_id: str | None, metric: Any, dry_run: bool, force: bool, undo: bool
) -> None:
    """Make the model of a RUN the champion if it is better.

    Without RUN, the run of the results in data/ is taken. The beginning of an id is enough. With
    two labels, f1 is the F1 of the positive label; with more, it is macro F1. The exit status is 0
    if the model is the champion now or, with --dry-run, would be, and 3 if it is not shown to be
    better.
    """
    from sentiment.tracking import address, promotion, registry, results, runs, store

    if undo:
        if run_id or dry_run or force:
            raise click.UsageError("--undo takes neither a RUN nor --dry-run nor --force.")
        name = registry.registered_name(load_params(project).fetch.dataset_name)
        show(promotion.undo_promotion(store.connect_to_read(project), name))
        return
    client = store.connect_to_read(project)
    if run_id is None:
        candidate = results.find_locked_run(project, client)
    else:
        with address.store_errors():
            candidate = runs.find_run(client, run_id)
    outcome = promotion.promote_run(client, candidate, metric, force, dry_run)
    show(outcome.text)
    if not outcome.is_better:
        sys.exit(NOT_PROMOTED_STATUS)


def run() -> None:
    """Run the installed command, and say so if it has the code of another clone."""
    own = Path(__file__).resolve().parents[1]
    if Path("sentiment/cli.py").is_file() and Path.cwd() != own:
        show(
            f"This command runs the code in {own}, because its environment was built there. To run "
            "the code in this folder: python -m sentiment",
            err=True,
        )
    main()
