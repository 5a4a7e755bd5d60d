"""`make ensemble` evaluates, registers and serves an ensemble like any other model."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from extras.ensemble import __main__ as ensemble
from sentiment.explanation import explain, prefix_predictions
from sentiment.serving.text_classifier import log_odds
from stages import fetch
from tests.conftest import Caller, Sharer, own_copy, run_stages, runs, stand_in
from tests.extras.conftest import load_as_evaluated, predictions
from tests.project import Project
from workflow import files
from workflow.registry.model_card import SPACED_COLUMNS

pytestmark = pytest.mark.slow
LINEAR: dict[str, Any] = {
    "pad": {"max_length": 30, "num_words": 250},
    "train": {
        "architecture": "linear",
        "heads": 0,
        "mask_padding": False,
        "pooling": "last",
        "validation_split": 0.25,
    },
}


@pytest.fixture(scope="session")
def ensembles(transformed: Project, shared: Sharer) -> Project:
    """A project with an ensemble of an LSTM, a transformer, and a linear model of another length.

    What the command printed is in the file `result.json` next to it.
    """

    def join(project: Project) -> None:
        project.change(**LINEAR)
        run_stages(project)
        with pytest.MonkeyPatch.context() as patch:
            stand_in(project.path, patch)
            run_ids = [run.info.run_id for run in reversed(runs())]
            printed = Caller(patch).json(ensemble.main, "--runs", " ".join(run_ids))
        files.write_json(project.path.with_name("result.json"), printed)

    return shared("ensembles", join, transformed.path)


@pytest.fixture
def standing(ensembles: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Stand in that project. Tests do not change it."""
    stand_in(ensembles.path, monkeypatch)
    return ensembles


@pytest.fixture
def result(standing: Project) -> dict[str, Any]:
    """What the command printed."""
    printed: dict[str, Any] = files.read_json(standing.path.with_name("result.json"))
    return printed


def assert_predicts_mean_log_odds(result: dict[str, Any]) -> None:
    """Compare the predictions of an ensemble with the weighted mean of its members' log-odds."""
    members = [predictions(run_id)["probability"].to_numpy() for run_id in result["weights"]]
    mean = np.average(log_odds(np.stack(members)), axis=0, weights=[*result["weights"].values()])
    predicted = predictions(result["run_id"])
    np.testing.assert_allclose(predicted["probability"], 1 / (1 + np.exp(-mean)), atol=1e-6)
    accuracy = float((predicted["actual"] == predicted["predicted"]).mean())
    assert result["metrics"]["test_accuracy"] == accuracy


def test_it_predicts_the_mean_of_its_members_log_odds(result: dict[str, Any]) -> None:
    assert list(result["weights"].values()) == pytest.approx([1 / 3] * 3)
    assert_predicts_mean_log_odds(result)


def test_it_is_a_run_like_that_of_a_training(result: dict[str, Any]) -> None:
    run = mlflow.get_run(result["run_id"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", result["name"])
    assert run.data.params["fetch.dataset"] == "synthetic"
    assert all(run_id in run.data.params["ensemble.runs"] for run_id in result["weights"])
    assert {"val_accuracy", "val_loss", "accuracy", "loss", "seconds"} <= run.data.metrics.keys()
    assert run.inputs
    assert len(run.inputs.model_inputs) == 3
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["synthetic-test"]
    logged = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert logged == {"evaluate", "train", "versions"}


def test_registered_model_predicts_texts_as_it_was_evaluated(result: dict[str, Any]) -> None:
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{result['run_id']}'")
    assert version.tags["promote.decision"] in ("champion", "not promoted")
    model = load_as_evaluated(result["run_id"])
    text = "dull but good"
    (probability,) = model.predict(None, pd.DataFrame({"text": [text]}))["probability"]
    assert len(explain(model, text).words) == len(model.tokenize(text)) > 1
    assert prefix_predictions(model, text)[-1].probability == probability


def test_version_has_a_model_card(result: dict[str, Any]) -> None:
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{result['run_id']}'")
    assert version.description is not None
    card = version.description.replace(SPACED_COLUMNS, " | ")
    assert f"**{result['name']}**: ensemble of 3 models" in card
    # One member validates on a quarter of the 320 reviews, the others on a fifth.
    assert "| training | 240 | of every member |" in card
    assert "| validation | 64 | not in any member's training |" in card
    assert f"| accuracy | {result['metrics']['test_accuracy']:.4f} | 0." in card


def test_two_seeds_of_a_group_count_as_much_as_one_run(group: Project, call: Caller) -> None:
    seeds = [run for run in runs() if run.data.params.get("train.units") == "6"]
    (parent,) = [run.info.run_id for run in seeds if "seeds.key" in run.data.tags]
    (first,) = [run.info.run_id for run in runs() if run.data.params.get("train.units") == "4"]
    result = call.json(ensemble.main, "--runs", f"{parent} {first}")
    assert list(result["weights"].values()) == [0.25, 0.25, 0.5]
    assert next(iter(result["weights"])) == group.run_id
    assert_predicts_mean_log_odds(result)


def test_members_that_do_not_go_together_are_refused(
    standing: Project,
    result: dict[str, Any],
    call: Caller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Refuse a missing run, an ensemble, a changed file and other reviews. Nothing is logged."""
    project = own_copy(standing, tmp_path, monkeypatch)
    before = len(runs())
    lstm, transformer, _ = result["weights"]
    for other, message in {
        result["run_id"]: "is an ensemble itself",
        "0" * 32: "has no run",
    }.items():
        assert message in call.fail(ensemble.main, "--runs", f"{lstm} {other}")
    both = ("--runs", f"{lstm} {transformer}")
    for file in (project.path / "mlruns").rglob("artifacts/model.keras"):
        file.write_bytes(file.read_bytes()[:-1])
    message = call.fail(ensemble.main, *both)
    assert message.startswith("Version 1 of synthetic-sentiment: ")
    assert "artifacts/model.keras differs from what the stage wrote" in message
    project.change(fetch={"synthetic": {"seed": 1}})
    call(fetch.main)
    message = call.fail(ensemble.main, *both)
    assert message.startswith("data/fetch has other reviews than the models were evaluated on")
    assert len(runs()) == before
