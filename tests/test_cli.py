"""The command `sentiment`: datasets, predictions, and what it says about problems."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from sentiment import cli
from sentiment.project.files.params_file import load_params, update_params_file
from sentiment.project.files.paths import Project
from tests.command import Command
from tests.logged import runs
from tests.params import new_params
from tests.small_project import ROOT, ProjectCopy, run_stages

STARS = [("bad", 1), ("middling", 3), ("good", 5)]


def test_help_lists_all_commands_the_optional_ones_as_well(sentiment: Command) -> None:
    _, _, commands = sentiment("--help").partition("Commands:\n")
    listed = {line.split()[0] for line in commands.splitlines()}
    optional = {path.parent.name.replace("_", "-") for path in cli.PACKAGE.glob("*/command.py")}
    assert listed == {"log", "dataset", "predict", "promote", "ui", *optional}


def test_no_summary_of_a_command_is_cut_at_80_columns(
    sentiment: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, _, listed = sentiment("--help").partition("Commands:\n")
    assert [line for line in listed.splitlines() if not line.endswith(".")] == []
    assert "..." not in listed


def test_an_extra_whose_folder_is_gone_has_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "PACKAGE", tmp_path)
    done = CliRunner().invoke(cli.main, ["sweep"])
    assert done.exit_code == 2
    assert "No such command 'sweep'" in done.output


@pytest.mark.slow
def test_help_needs_neither_tensorflow_nor_mlflow() -> None:
    code = (
        "import sys\nfrom sentiment import cli\n"
        "try:\n    cli.main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({'tensorflow', 'keras', 'mlflow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_installed_command_says_if_it_has_the_code_of_another_clone(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "main", lambda: None)
    cli.run()
    assert capsys.readouterr().err == ""
    (in_tmp_path / "sentiment").mkdir()
    (in_tmp_path / "sentiment" / "cli.py").touch()
    cli.run()
    assert f"This command runs the code in {ROOT}" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("params")
def test_a_table_is_checked_described_and_named_in_params(sentiment: Command) -> None:
    rows = [f"{word} text {number},{label}" for number in range(50) for word, label in STARS]
    Path("own.csv").write_text("\n".join(["review,stars", *rows, "bad text 0,1", "?,1", ""]))
    printed = sentiment("dataset", "own.csv")
    assert printed.splitlines()[:6] == [
        "Texts: column 'review'. Labels: column 'stars'.",
        "own.csv: 121 training and 30 test texts",
        "  labels: 1 51, 3 50, 5 50",
        "  repeated training texts: 1",
        "  skipped rows, which have no word: 1",
        "  Half of the training texts have at most 3 words, and the longest 3.",
    ]
    assert "fetch.table.text: text -> review" in printed
    assert "dvc add own.csv" in printed
    fetch = load_params(Project.here()).fetch
    assert (fetch.dataset, fetch.table.train, fetch.table.label) == ("table", "own.csv", "stars")


@pytest.mark.slow
@pytest.mark.usefixtures("params")
def test_a_table_changes_the_params_of_the_dataset_alone(sentiment: Command) -> None:
    before = load_params(Project.here())
    rows = [f"{word} text {number},{label}" for number in range(50) for word, label in STARS]
    Path("own.csv").write_text("\n".join(["review,stars", *rows, ""]))
    assert "in params.yaml, model: linear" in sentiment("dataset", "own.csv")
    after = load_params(Project.here())
    assert after.model_copy(update={"fetch": before.fetch}) == before
    update_params_file(Project.here(), {"model": "linear"})
    assert "model: linear" not in sentiment("dataset", "own.csv")


@pytest.mark.slow
@pytest.mark.usefixtures("params")
def test_a_table_of_the_test_set_and_the_positive_label_are_options(sentiment: Command) -> None:
    for name in ("own.csv", "test.csv"):
        Path(name).write_text(f"text,label\n{name},1\nb,0\n{name} c,1\nd,0\n")
    printed = sentiment("dataset", "own.csv", "--test", "test.csv", "--positive", "0")
    assert "own.csv: 4 training and 4 test texts\n  labels: 1 4, 0 4\n" in printed
    assert "fetch.table.positive: '' -> 0" in printed
    assert load_params(Project.here()).fetch.table.test == "test.csv"
    assert "has these values already" in sentiment("dataset", "own.csv")  # as they were


@pytest.mark.usefixtures("params")
def test_a_table_that_cannot_be_used_changes_nothing(sentiment: Command) -> None:
    Path("own.csv").write_text("text,label\na,1\n")
    assert "all 1 texts have the same label, '1'" in sentiment.fail("dataset", "own.csv")
    assert load_params(Project.here()) == new_params()


@pytest.mark.slow
@pytest.mark.usefixtures("project")
def test_a_prediction_names_label_probability_model_and_words(sentiment: Command) -> None:
    (run,) = runs()
    text = "The plot was not dull."
    first_line, words = sentiment("predict", text).splitlines()
    match = re.fullmatch(r"(positive|negative), probability (0\.\d{4}) \((.+)\)", first_line)
    assert match is not None
    assert match[3] == f"run {run.info.run_id[:8]}"
    assert words.startswith("Words that matter most: ")
    assert sentiment("predict", "Xyzzy!").splitlines()[0] == "The model knows none of these words."


@pytest.mark.slow
def test_a_prediction_by_a_version_needs_no_params_of_this_folder(
    project: ProjectCopy, sentiment: Command
) -> None:
    client = MlflowClient()
    (run,) = runs()
    (model,) = client.search_logged_models([run.info.experiment_id])
    client.create_registered_model("mine")
    client.create_model_version("mine", model.model_uri, run.info.run_id, model_id=model.model_id)
    own = sentiment("predict", "A fine plot.")
    (project.path / "params.yaml").unlink()
    printed = sentiment("predict", "A fine plot.", "--model", "models:/mine/1")
    assert printed == own.replace(f"run {run.info.run_id[:8]}", "models:/mine/1")


@pytest.mark.slow
def test_a_prediction_uses_the_words_of_the_training_after_another_fetch(
    project: ProjectCopy, sentiment: Command
) -> None:
    before = sentiment("predict", "The plot was not dull.")
    project.change(fetch={"synthetic": {"seed": 5}})
    run_stages(project, "fetch")
    assert sentiment("predict", "The plot was not dull.") == before
