"""The command `sentiment`: what DVC and MLflow have no command for.

Each optional folder that is there adds a command of its own.
"""

import importlib
from pathlib import Path
from typing import Any

import click

from sentiment.errors import describe_error
from sentiment.project.libraries import quiet_libraries
from sentiment.project.params_file import (
    PARAMS_FILE,
    changed_params,
    load_params,
    update_params_file,
)

OPTIONAL = Path(__file__).parent  # its folders with a module `command` add a command each
MAX_WORDS = 5  # words with the largest effects
MAX_SHOWN_LABELS = 5  # the most probable ones


class Commands(click.Group):
    """The commands of the core and of the optional folders, one message for a problem."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        optional = (path.parent.name for path in OPTIONAL.glob("*/command.py"))
        return sorted([*super().list_commands(ctx), *optional])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if not (OPTIONAL / cmd_name / "command.py").is_file():
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"sentiment.{cmd_name}.command").command
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


@main.command()
def sync() -> None:
    """Log the results in data/ to MLflow, and say which run has them.

    `dvc repro` logs by itself. Run this after the store was away or deleted, or after `dvc pull`.
    A complete run is left alone, so a second call changes nothing.
    """
    from sentiment.tracking import publish

    run = publish.publish_locked_results(load_params().promote.alpha)
    click.echo(f"Test Accuracy: {run.test_accuracy:.4f}\n{run.describe()}")


@main.command()
@click.argument("name", required=False)
@click.option("--with-dataset", is_flag=True, help="Also set the params of the dataset back.")
def preset(name: str | None, with_dataset: bool) -> None:
    """Write the params of the preset NAME into params.yaml. Without NAME, list the presets.

    A preset is a file presets/NAME.yaml. All other params of pad and train get their defaults, so
    that two presets never mix. `default` is the one without changes.
    """
    from sentiment.project import presets

    if name is None:
        click.echo("\n".join(presets.preset_names()))
        return
    changes = presets.apply_preset(name, with_dataset)
    click.echo("\n".join(changes) or f"{PARAMS_FILE} has these values already.")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--text", help="Column of the texts.")
@click.option("--label", help="Column of the labels.")
@click.option("--test", type=click.Path(path_type=Path), help="Table of the test set.")
@click.option("--positive", help="The positive one of two labels.")
def dataset(
    file: Path, text: str | None, label: str | None, test: Path | None, positive: str | None
) -> None:
    """Check a table of your own texts, and name it in params.yaml.

    Columns such as `text` and `label` are found by their names. Without --test, a share of the
    table becomes the test set. For the table that params.yaml names already, options that are left
    out stay as they are there. Five params of the nearest preset are fitted to the texts.
    """
    from sentiment.data.columns import find_columns
    from sentiment.data.dataset import load_dataset
    from sentiment.data.description import describe_dataset, describe_lengths
    from sentiment.project import own_table, presets
    from sentiment.project.fitted_params import fit_params

    params = load_params()
    train = own_table.project_path(file)
    present = params.fetch.table
    is_present = params.fetch.dataset == "table" and present.train == train
    if is_present:  # the table may have grown
        text = text or present.text
        label = label or present.label
        test = test or Path(present.test)
        positive = present.positive if positive is None else positive
    columns = find_columns(file, text, label)
    changes = {
        "fetch.dataset": "table",
        "fetch.table.train": train,
        "fetch.table.test": own_table.project_path(test) if test else train,
        "fetch.table.text": columns.text,
        "fetch.table.label": columns.label,
        "fetch.table.positive": positive or "",
    }
    fetch = changed_params(params, changes).fetch
    loaded = load_dataset(fetch)
    click.echo(f"Texts: column {columns.text!r}. Labels: column {columns.label!r}.")
    click.echo(describe_dataset(fetch.dataset_name, loaded))
    # Fit the preset's values, not those that were fitted to another table.
    base = presets.find_nearest_preset(presets.valid_presets(), params.pad, params.train)
    fitted = fit_params(base.pad, base.train, loaded.train.lengths)
    click.echo(f"  {describe_lengths(loaded, fitted['pad.max_length'])}")
    written = update_params_file(changes | fitted)
    click.echo("\n".join(written) or f"{PARAMS_FILE} has these values already.")
    for advice in own_table.tracking_advice(fetch):
        click.echo(advice)
    click.echo("Then: dvc repro")
    click.echo("To go back to IMDB and the default model: sentiment preset default --with-dataset")


@main.command()
@click.argument("text")
@click.option("--model", "model_uri", help="A version such as models:/imdb-sentiment/1.")
def predict(text: str, model_uri: str | None) -> None:
    """Predict the label of a TEXT, and show the words that matter."""
    from sentiment.tracking import store, versions

    if not text.strip():
        raise click.UsageError("There is no text.")
    dataset_name = load_params().fetch.dataset_name
    with store.store_errors():
        store.connect_to_read()
        version = versions.resolve_version(model_uri, dataset_name)
        model = versions.load_model(versions.version_uri(version))
    explanation = model.explain(text)
    strongest = sorted(explanation.words, key=lambda word: -abs(word.log_odds))[:MAX_WORDS]
    words = [f"{text[word.start : word.end]} {word.log_odds:+.2f}" for word in strongest]
    click.echo(f"{explanation.label}, probability {explanation.probability:.4f}")
    if len(explanation.probabilities) > 2:
        by_probability = sorted(explanation.probabilities.items(), key=lambda item: -item[1])
        listed = [f"{label} {share:.4f}" for label, share in by_probability[:MAX_SHOWN_LABELS]]
        click.echo(f"All labels: {', '.join(listed)}")
    if words:
        click.echo(f"Words that matter most: {', '.join(words)}")
    else:
        click.echo("The model knows none of these words.")


@main.command()
@click.argument("run_id", metavar="RUN")
def promote(run_id: str) -> None:
    """Make the model of a RUN the champion, whatever was decided."""
    from sentiment.tracking import champion, registry, store

    if not registry.RUN_ID_PATTERN.fullmatch(run_id):
        raise click.BadParameter(f"{run_id} is not the whole id of a run. MLflow's UI shows it.")
    with store.store_errors():
        registry.connect_experiment(load_params().fetch.dataset_name)
        click.echo(champion.promote_run(run_id))


def run() -> None:
    """Run the installed command, and say so if it has the code of another clone."""
    own = Path(__file__).resolve().parents[1]
    if Path("sentiment/cli.py").is_file() and Path.cwd() != own:
        click.echo(
            f"This command runs the code in {own}, because its environment was built there. To run "
            "the code in this folder: python -m sentiment",
            err=True,
        )
    main()
