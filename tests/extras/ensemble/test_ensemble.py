"""`make ensemble` on real runs: evaluated, registered and served as any other model."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from extras.ensemble import __main__ as ensemble
from sentiment.explanation import explain, prefix_predictions
from sentiment.serving.pyfunc_model import log_odds
from stages import fetch
from tests.conftest import Caller, Sharer, own_copy, runs, stand_in
from tests.extras.conftest import answering_as_evaluated, predictions
from tests.project import Project
from workflow import files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def joined(transformed: Project, shared: Sharer) -> Project:
    """A project with an ensemble of an LSTM and a transformer.

    What the command printed is in the file `made.json` beside it.
    """

    def join(project: Project) -> None:
        with pytest.MonkeyPatch.context() as patch:
            stand_in(project.path, patch)
            run_ids = [run.info.run_id for run in reversed(runs())]
            printed = Caller(patch).json(ensemble.main, "--runs", " ".join(run_ids))
        files.write_json(project.path.with_name("made.json"), printed)

    return shared("joined", join, transformed.path)


@pytest.fixture(autouse=True)
def standing(joined: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """That project as the working directory; tests leave it as it is."""
    stand_in(joined.path, monkeypatch)


@pytest.fixture
def result(joined: Project) -> dict[str, Any]:
    """What the command printed."""
    printed: dict[str, Any] = files.read_json(joined.path.with_name("made.json"))
    return printed


def test_it_answers_with_the_mean_of_its_members_log_odds_as_a_run_of_its_own(
    result: dict[str, Any],
) -> None:
    assert list(result["weights"].values()) == [0.5, 0.5]
    members = [predictions(run_id)["probability"].to_numpy() for run_id in result["weights"]]
    answers = predictions(result["run_id"])
    mean = 1 / (1 + np.exp(-log_odds(np.stack(members)).mean(axis=0)))
    np.testing.assert_allclose(answers["probability"], mean, atol=1e-6)
    right = float((answers["actual"] == answers["predicted"]).mean())
    assert result["metrics"]["test_accuracy"] == right
    run = mlflow.get_run(result["run_id"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", result["name"])
    assert run.data.params["fetch.dataset"] == "synthetic"
    assert all(run_id in run.data.params["ensemble.runs"] for run_id in result["weights"])
    assert {"val_accuracy", "val_loss", "accuracy", "seconds"} <= run.data.metrics.keys()
    assert run.inputs
    assert len(run.inputs.model_inputs) == 2
    assert [used.dataset.name for used in run.inputs.dataset_inputs] == ["synthetic-test"]
    logged = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert logged == {"evaluate", "train", "versions"}


def test_the_registered_model_answers_texts_as_it_was_evaluated(result: dict[str, Any]) -> None:
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{result['run_id']}'")
    assert version.tags["promote.decision"] in ("champion", "not promoted")
    model, text = answering_as_evaluated(result["run_id"]), "dull but good"
    (answer,) = model.predict(None, pd.DataFrame({"text": [text]}))["probability"]
    assert len(explain(model, text).words) == len(model.tokenize(text)) > 1
    assert prefix_predictions(model, text)[-1].probability == answer


def test_what_does_not_go_together_is_one_message(
    joined: Project,
    result: dict[str, Any],
    call: Caller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No run at all, an ensemble, a file that was changed, other reviews; nothing is logged."""
    project = own_copy(joined, tmp_path, monkeypatch)
    before, (lstm, transformer) = len(runs()), result["weights"]
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
