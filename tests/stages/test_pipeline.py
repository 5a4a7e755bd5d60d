"""The whole pipeline by real commands, on a small synthetic dataset in its own repository."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from sentiment.data.params import describe_dataset
from sentiment.network.training import Training
from sentiment.section import flatten
from stages import evaluate, pad, train
from tests.conftest import Caller, curve, epochs, runs, stand_in
from tests.project import MODEL, Project
from tests.stages.test_dvc_yaml import uncached_outputs
from tools import repro
from workflow import dvc_commands
from workflow.about import AboutFetch, write_about
from workflow.files import FETCH
from workflow.params import Params, load_params
from workflow.registry.model_card import SPACED_COLUMNS

pytestmark = pytest.mark.slow
UNREACHABLE_URL = "http://127.0.0.1:9/"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make a shared project's root the working directory: artifact locations are relative."""
    for name in ("finished", "two_runs"):  # before a copy of it is made
        if name in request.fixturenames:
            stand_in(request.getfixturevalue(name).path, monkeypatch)


def executed_stages(output: str) -> list[str]:
    """Return the stages that a `dvc repro` ran."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


def test_git_keeps_metrics_and_plots(project: Project) -> None:
    kept = project.run("git", "ls-files", "data/*/*").split()
    assert set(kept) == uncached_outputs("train") | uncached_outputs("evaluate")
    assert project.run("git", "status", "--porcelain") == ""


def test_dvc_experiment_reruns_the_changed_stages_and_has_a_run_with_its_name(
    two_runs: Project,
) -> None:
    printed = two_runs.path.with_name("output").read_text(encoding="utf-8")
    assert executed_stages(printed) == ["train", "evaluate"]
    assert "\r" not in printed  # one line an epoch, without a progress bar
    assert printed.count("val_accuracy:") == 3
    assert f"Version 2 of {MODEL} is " in printed
    assert "McNemar's exact p = " in printed
    new, old = runs()
    assert (new.data.params["train.units"], old.data.params["train.units"]) == ("6", "4")
    assert new.data.metrics["test_loss"] != old.data.metrics["test_loss"]
    for run, last in ((new, 3), (old, 2)):
        for name in ("accuracy", "loss", "val_accuracy", "val_loss", "seconds"):
            assert epochs(run.info.run_id, name) == list(range(1, last + 1))
    assert new.info.run_name.endswith("six")
    assert (
        new.data.tags.items()
        >= {
            "git.uncommitted_changes": "M  params.yaml",
            "dvc.experiment": "six",
            "dvc.baseline": two_runs.run("git", "rev-parse", "HEAD").strip(),
        }.items()
    )
    diff = json.loads((two_runs.path / "data/train/run.json").read_bytes())["uncommitted"]
    assert "-  units: 4" in diff
    logged = mlflow.artifacts.load_text(f"runs:/{new.info.run_id}/train/uncommitted.diff")
    assert logged == f"{diff}\n"


def test_change_reruns_only_the_stages_that_depend_on_it(project: Project) -> None:
    before = project.contents("data")
    for name in ("README.md", "workflow/tracking.py"):  # no result depends on either
        with (project.path / name).open("a", encoding="utf-8") as file:
            file.write("# a comment\n")
    assert "Data and pipelines are up to date." in project.run("dvc", "repro")
    assert project.contents("data") == before
    assert len(runs()) == 1
    project.change(fetch={"table": {"split_seed": 1}})  # not read for the synthetic dataset
    assert executed_stages(project.run("dvc", "repro")) == ["fetch"]
    project.change(evaluate={"threshold": 0.6})
    assert executed_stages(project.run("dvc", "repro", "--dry")) == ["evaluate"]


def test_run_has_all_params_that_it_depends_on_by_dotted_name(finished: Project) -> None:
    params = load_params(finished.path / "params.yaml")
    expected = {
        "fetch.dataset": "synthetic",
        **flatten(params.fetch.synthetic, "fetch.synthetic"),
        **flatten(params.pad, "pad"),
        **flatten(params.train, "train"),
    }
    assert runs()[0].data.params == {name: str(value) for name, value in expected.items()}


def test_run_has_metrics_files_datasets_and_tags(finished: Project) -> None:
    (run,) = runs()
    metrics = json.loads((finished.path / "data/evaluate/metrics.json").read_bytes())
    assert run.info.run_name == "lstm-4 · len 40 · seed 42 · synthetic"
    assert run.info.status == "FINISHED"
    assert metrics["dataset"] == "synthetic"
    assert run.data.metrics["test_accuracy"] == metrics["test_accuracy"]
    assert run.data.metrics["test_brier"] == metrics["test_brier"]
    client = mlflow.MlflowClient()
    for name in ("initial_gradient_norm", "gradient_norm"):
        assert curve(run.info.run_id, name)[0] == (0, 1), name
    logged = {
        file.path
        for folder in ("train", "evaluate")
        for file in client.list_artifacts(run.info.run_id, folder)
    }
    written = finished.contents("data/train") | finished.contents("data/evaluate")
    names = {path.removeprefix("data/") for path in written}
    not_logged = {"train/about.json", "train/model.keras", "train/run.json"}
    assert logged == names - not_logged
    assert run.inputs is not None
    inputs = {(i.tags[0].value, i.dataset.name) for i in run.inputs.dataset_inputs}
    assert inputs == {
        (context, f"synthetic-{context}") for context in ("training", "validation", "test")
    }
    assert len({i.dataset.digest for i in run.inputs.dataset_inputs}) == 3
    tags = run.data.tags
    assert tags["dataset"] == "synthetic"
    assert tags["git.commit"] == finished.run("git", "rev-parse", "HEAD~1").strip()
    assert tags["git.uncommitted_changes"] == "none"


def test_version_has_a_model_card(finished: Project) -> None:
    metrics = json.loads((finished.path / "data/evaluate/metrics.json").read_bytes())
    (version,) = mlflow.MlflowClient().search_model_versions()
    assert version.description is not None
    card = version.description.replace(SPACED_COLUMNS, " | ")
    for expected in (
        "**champion**, by the promotion rule. Reason: there was none before.",
        "**lstm-4 · len 40 · seed 42 · synthetic**: LSTM (1 layer, 4 units) on word vectors of 4",
        "| training | 256 |  |\n| validation | 64 |  |\n| test | 200 |",
        f"| accuracy | {metrics['test_accuracy']:.4f} | 0.",
        f"| calibration error | {metrics['test_ece']:.4f} |",
        "- Only the last 40 tokens of a text are read.",
    ):
        assert expected in card


def test_logged_model_has_its_metrics_and_predicts_as_it_was_evaluated(finished: Project) -> None:
    (run,) = runs()
    models = mlflow.MlflowClient().search_logged_models([run.info.experiment_id])
    assert sorted(model.name for model in models) == ["model", "sentiment"]
    (logged,) = [model for model in models if model.name == "model"]
    assert logged.status == "READY"
    assert logged.params == run.data.params
    metrics = {(metric.key, metric.step) for metric in logged.metrics or []}
    assert {("val_accuracy", 1), ("val_accuracy", 2), ("test_accuracy", 0)} <= metrics
    assert run.outputs
    assert len(run.outputs.model_outputs) == 2
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert model.metadata.signature is not None
    assert model.input_example.shape == (1, 40)
    x = np.load(finished.path / "data/pad/x_test.npy").astype(np.int32)
    table = pd.read_csv(finished.path / "data/evaluate/predictions.csv")
    assert model.predict(x)[:, 0] == pytest.approx(table["probability"].to_numpy(), abs=1e-6)


def test_bad_params_fail_with_one_message_and_touch_nothing(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.contents("data")
    project.change(train={"unitz": 3})
    output = project.fail("dvc", "repro")
    assert "train.unitz: unknown key. Did you mean units?" in output
    assert "Traceback" not in output
    assert project.contents("data") == before
    monkeypatch.setattr(dvc_commands, "run_dvc", None)
    assert "train.unitz: unknown key" in call.fail(repro.main)
    assert project.contents("data") == before
    assert len(runs()) == 1


@pytest.mark.parametrize(
    ("path", "reader", "damage"),
    [
        ("data/fetch/train_tokens.npy", pad, lambda content: content[:-9]),
        ("data/pad/x_train.npy", train, lambda content: content[:-9] + b"tampered!"),
        ("data/train/model.keras", evaluate, lambda content: content[:-9]),
        ("data/fetch/word_index.json", evaluate, lambda content: content + b" "),
    ],
)
def test_damaged_file_is_refused_by_its_reader(
    project: Project,
    call: Caller,
    path: str,
    reader: ModuleType,
    damage: Callable[[bytes], bytes],
) -> None:
    before = project.contents("data")
    (project.path / path).write_bytes(damage(before[path]))
    assert path in call.fail(reader.main)
    (project.path / path).write_bytes(before[path])
    assert project.contents("data") == before


def test_make_repro_continues_with_the_synthetic_dataset_and_says_so(project: Project) -> None:
    project.change(fetch={"dataset": "imdb"})
    missing = str(project.path / "missing")
    output = project.run(
        "python", "-m", "tools.repro", KERAS_HOME=missing, HTTPS_PROXY=UNREACHABLE_URL
    )
    assert load_params(project.path / "params.yaml").fetch.dataset == "synthetic"
    assert executed_stages(output) == ["fetch"]  # the synthetic dataset is there already
    assert "Connection refused" in output
    assert "set fetch.dataset to synthetic" in output[: output.index("so this continues")]
    assert "Traceback" not in output
    assert output.index("NOT IMDB's") < output.index("Stage 'evaluate' didn't change")
    assert "NOT IMDB's" in output.splitlines()[-1]
    assert "params.yaml now says fetch.dataset: synthetic" in output


@pytest.mark.usefixtures("in_tmp_path")
def test_imdb_that_is_fetched_is_not_missing(default_params: Params) -> None:
    FETCH.mkdir(parents=True)
    write_about(FETCH, AboutFetch(dataset=describe_dataset(default_params.fetch)))
    assert not repro.is_imdb_missing(default_params.fetch)


class DivergingTraining(Training):
    """A training whose loss is not a number from the first epoch on."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.model.get_layer("probability").bias.assign([float("nan")])


def test_training_that_fails_leaves_a_failed_run_and_the_last_good_outputs(
    project: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = project.contents("data")
    project.change(train={"seed": 1})  # so that the finished training's checkpoint is not restored
    monkeypatch.setattr(train, "Training", DivergingTraining)
    message = call.fail(train.main)
    assert "The training diverged in epoch 1 (loss nan). Lower train.learning_rate." in message
    assert runs()[0].info.status == "FAILED"
    assert [run.info.status for run in runs()] == ["FAILED", "FINISHED"]
    assert project.contents("data") == before


def test_fresh_clone_shows_the_committed_run(project: Project, tmp_path: Path) -> None:
    project.run("git", "clone", "--quiet", ".", str(tmp_path / "elsewhere"))
    clone = Project(tmp_path / "elsewhere")
    metrics = json.loads((project.path / "data/evaluate/metrics.json").read_bytes())
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json"))
    assert shown[""]["data"]["data/evaluate/metrics.json"]["data"] == metrics
    page = clone.path / "dvc_plots" / "index.html"
    assert clone.run("dvc", "plots", "show").strip() == f"file://{page}"
    html = page.read_text(encoding="utf-8")
    for value in ('"val_loss": ', '"true_positive_rate": ', '"observed": ', '"words": '):
        assert value in html
    negatives = metrics["test_true_negatives"]
    assert f'"predicted": "negative", "reviews": "{negatives}"' in html
    assert clone.run("git", "status", "--porcelain") == ""
