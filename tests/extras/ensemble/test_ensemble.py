"""`make ensemble` on real runs: evaluated, registered and served as any other model."""

import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from extras.ensemble import __main__ as ensemble
from sentiment.explanation import explain, trace
from sentiment.serving.classifier import log_odds
from stages import fetch
from tests.conftest import Caller, Sharer, runs, stand_in
from tests.extras.conftest import answering_as_evaluated, predictions
from tests.project import Project
from tools import promote
from workflow import files


@pytest.fixture(scope="session")
def joined(fitted: Project, shared: Sharer) -> Project:
    """A project with an ensemble of a network and two linear models.

    What the command printed is in the file `made.json` beside it.
    """

    def join(project: Project) -> None:
        store = mlflow.MlflowClient(f"sqlite:///{project.path}/mlflow.db")
        oldest_first = store.search_runs(["1"], order_by=["attributes.start_time"])
        run_ids = [run.info.run_id for run in oldest_first]
        command = ("python", "-m", "extras.ensemble", "--json", "--runs", " ".join(run_ids))
        printed = project.read(*command)
        project.path.with_name("made.json").write_text(printed, encoding="utf-8")

    return shared("joined", join, fitted.path)


@pytest.fixture(autouse=True)
def standing(joined: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """That project as the working directory; tests leave it as it is."""
    stand_in(joined.path, monkeypatch)


@pytest.fixture
def result(joined: Project) -> dict[str, Any]:
    """What the command printed."""
    printed: dict[str, Any] = files.read_json(joined.path.with_name("made.json"))
    return printed


@pytest.fixture
def own(joined: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project of one's own, as the working directory."""
    project = joined.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def test_it_answers_with_the_mean_of_its_members_log_odds(result: dict[str, Any]) -> None:
    assert list(result["weights"].values()) == [1 / 3] * 3
    members = [predictions(run_id)["probability"].to_numpy() for run_id in result["weights"]]
    answers = predictions(result["run_id"])
    mean = 1 / (1 + np.exp(-log_odds(np.stack(members)).mean(axis=0)))
    np.testing.assert_allclose(answers["probability"], mean, atol=1e-6)
    right = float((answers["actual"] == answers["predicted"]).mean())
    assert result["metrics"]["test_accuracy"] == right > 0.6


def test_its_run_has_what_a_training_s_has(result: dict[str, Any]) -> None:
    run = mlflow.get_run(result["run_id"])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == result["name"]
    assert run.data.params["fetch.dataset"] == "synthetic"
    assert all(run_id in run.data.params["ensemble.runs"] for run_id in result["weights"])
    assert {"val_accuracy", "val_loss", "accuracy", "seconds"} <= run.data.metrics.keys()
    assert run.inputs
    assert len(run.inputs.model_inputs) == 3
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["synthetic-test"]
    logged = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert logged == {"evaluate", "train", "versions"}
    seconds = [mlflow.get_run(run_id).data.metrics["seconds"] for run_id in result["weights"]]
    assert run.data.metrics["seconds"] >= max(seconds)


def test_the_registered_model_answers_texts_as_it_was_evaluated(result: dict[str, Any]) -> None:
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{result['run_id']}'")
    assert version.tags["promote.decision"] in ("champion", "not promoted")
    model, text = answering_as_evaluated(result["run_id"]), "dull but good"
    (answer,) = model.predict(None, pd.DataFrame({"text": [text]}))["probability"]
    assert len(explain(model, text).words) == len(model.words(text)) > 1
    assert trace(model, text)[-1].probability == answer


def test_the_same_members_are_the_same_run(result: dict[str, Any], call: Caller) -> None:
    before = len(runs())
    output = call(ensemble.main, "--runs", " ".join(result["weights"]))
    assert f"{result['name']}: run {result['run_id']}" in output
    assert f"Test Accuracy: {result['metrics']['test_accuracy']:.4f}" in output
    assert len(runs()) == before


def test_what_does_not_go_together_is_one_message(result: dict[str, Any], call: Caller) -> None:
    one, whole = next(iter(result["weights"])), result["run_id"]
    assert "needs two models or more" in call.fail(ensemble.main, "--runs", one)
    assert "named twice" in call.fail(ensemble.main, "--runs", f"{one} {one}")
    assert "is an ensemble itself" in call.fail(ensemble.main, "--runs", f"{one} {whole}")
    assert "has no run" in call.fail(ensemble.main, "--runs", f"{one} {'0' * 32}")


@pytest.mark.usefixtures("own")
def test_it_is_made_champion_as_any_run(result: dict[str, Any], call: Caller) -> None:
    assert "is champion now" in call(promote.main, "--run", result["run_id"])


def test_a_changed_file_and_other_reviews_are_refused_and_nothing_is_logged(
    own: Project, result: dict[str, Any], call: Caller
) -> None:
    before, network_and_linear = len(runs()), " ".join([*result["weights"]][:2])
    (file,) = (own.path / "mlruns").rglob("artifacts/model.keras")
    file.write_bytes(file.read_bytes()[:-1])
    message = call.fail(ensemble.main, "--runs", network_and_linear)
    assert message.startswith("Version 1 of synthetic-sentiment: ")
    assert "artifacts/model.keras is not as the stage wrote it" in message
    own.change(fetch={"synthetic": {"seed": 1}})
    call(fetch.main)
    message = call.fail(ensemble.main, "--runs", network_and_linear)
    assert message.startswith("data/fetch has other reviews than the models were evaluated on")
    assert len(runs()) == before


def test_a_member_has_only_files_of_its_own_folder_that_it_lists(
    own: Project, result: dict[str, Any], call: Caller
) -> None:
    before, both_linear = len(runs()), " ".join([*result["weights"]][1:])
    folder = next((own.path / "mlruns").rglob("artifacts/model.npz")).parent
    settings = files.read_json(folder / "settings.json")
    outside = own.path / "private.npz"
    climbing = f"{'../' * 30}{outside.relative_to('/')}"
    for path in (outside, folder / "unlisted.npz"):
        shutil.copy2(folder / "model.npz", path)
    for name, listed in [
        ("unlisted.npz", []),
        (str(outside), []),
        (str(outside), [str(outside), outside.name]),
        (climbing, [climbing, outside.name]),
    ]:
        digests = settings["files"] | dict.fromkeys(listed, files.sha256(outside))
        changes = {"model": {**settings["model"], "file": name}, "files": digests}
        files.write_json(folder / "settings.json", {**settings, **changes})
        message = call.fail(ensemble.main, "--runs", both_linear)
        assert f"settings.json is not as the stage wrote it ({name} is not one of its" in message
        assert outside.read_bytes() == (folder / "model.npz").read_bytes()
    assert len(runs()) == before
