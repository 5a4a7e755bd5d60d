"""`make ensemble` on real runs: evaluated, registered, served and compared as any other model."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from extras.compare import __main__ as compare
from extras.ensemble import __main__ as ensemble
from extras.ensemble import ensemble_reader
from sentiment.explanation import explain, trace
from sentiment.serving import classifier
from tests.conftest import Caller, Sharer, stand_in
from tests.project import Project
from tools import promote
from workflow import files
from workflow.files import FETCH, read_reviews
from workflow.registry import champion

ENSEMBLE = ("python", "-m", "extras.ensemble", "--json", "--runs")


def run_ids(project: Project) -> list[str]:
    """All runs, the oldest first: a network's and those of two linear models."""
    with closing(sqlite3.connect(project.path / "mlflow.db")) as database:
        rows = database.execute("SELECT run_uuid FROM runs ORDER BY start_time")
        return [run_id for (run_id,) in rows]


@pytest.fixture(scope="session")
def joined(fitted: Project, shared: Sharer) -> Project:
    """A project with an ensemble of a network and two linear models.

    What the command printed is in the file `made.json` beside it.
    """

    def join(project: Project) -> None:
        made = project.read(*ENSEMBLE, " ".join(run_ids(project)))
        project.path.with_name("made.json").write_text(made, encoding="utf-8")

    return shared("joined", join, fitted.path)


@pytest.fixture
def made(joined: Project) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(joined.path.with_name("made.json"))
    return found


@pytest.fixture
def standing(joined: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project as the working directory."""
    project = joined.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def predictions(run_id: str) -> pd.DataFrame:
    """A run's answers to the test set, by review."""
    path = mlflow.artifacts.download_artifacts(f"runs:/{run_id}/evaluate/predictions.csv")
    table = pd.read_csv(path, dtype={"probability": np.float32})
    return table.set_index("review").sort_index()


@pytest.mark.usefixtures("standing")
def test_it_answers_with_the_mean_of_its_members_log_odds(made: dict[str, Any]) -> None:
    assert list(made["weights"].values()) == [1 / 3] * 3
    members = [predictions(run_id)["probability"].to_numpy() for run_id in made["weights"]]
    found = predictions(made["run_id"])
    mean = ensemble_reader.probability(classifier.log_odds(np.stack(members)).mean(axis=0))
    np.testing.assert_allclose(found["probability"], mean, atol=1e-6)
    right = float((found["actual"] == found["predicted"]).mean())
    assert made["metrics"]["test_accuracy"] == right > 0.6


@pytest.mark.usefixtures("standing")
def test_its_run_has_what_a_training_s_has(made: dict[str, Any]) -> None:
    run = mlflow.get_run(made["run_id"])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == made["name"]
    assert run.data.params["fetch.dataset"] == "synthetic"
    assert all(run_id in run.data.params["ensemble.runs"] for run_id in made["weights"])
    assert {"val_accuracy", "val_loss", "accuracy", "seconds"} <= run.data.metrics.keys()
    assert run.inputs
    assert len(run.inputs.model_inputs) == 3
    assert [each.dataset.name for each in run.inputs.dataset_inputs] == ["synthetic-test"]
    logged = {each.path for each in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert logged == {"evaluate", "train", "versions"}
    seconds = [mlflow.get_run(run_id).data.metrics["seconds"] for run_id in made["weights"]]
    assert run.data.metrics["seconds"] >= max(seconds)


@pytest.mark.usefixtures("standing")
def test_the_registered_model_answers_texts_as_it_was_evaluated(made: dict[str, Any]) -> None:
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{made['run_id']}'")
    assert version.tags["promote.decision"] in ("champion", "not promoted")
    model = champion.load(f"models:/{version.name}/{version.version}")
    index = files.read_json(FETCH / "word_index.json")
    words, reviews = {rank: word for word, rank in index.items()}, read_reviews(FETCH, "test")
    evaluated = predictions(made["run_id"])
    texts = [" ".join(words[rank] for rank in reviews[review]) for review in evaluated.index]
    answered = model.predict(None, pd.DataFrame({"text": texts}))
    np.testing.assert_array_equal(answered["probability"], evaluated["probability"])
    assert answered["label"].tolist() == evaluated["predicted"].tolist()
    assert len(explain(model, texts[0]).words) == len(reviews[0])
    assert trace(model, texts[0])[-1].probability == answered["probability"][0]


def test_the_same_members_are_the_same_run(
    standing: Project, made: dict[str, Any], call: Caller
) -> None:
    before = run_ids(standing)
    output = call(ensemble.main, "--runs", " ".join(made["weights"]))
    assert f"{made['name']}: run {made['run_id']}" in output
    assert f"Test Accuracy: {made['metrics']['test_accuracy']:.4f}" in output
    assert run_ids(standing) == before


def test_it_is_compared_and_made_champion_as_any_run(
    standing: Project, made: dict[str, Any], call: Caller
) -> None:
    call(promote.main, "--run", made["run_id"])
    call(compare.main)
    (report,) = (standing.path / "reports").iterdir()
    document = files.read_json(report / "comparison.json")
    assert document["a"]["run_id"] == made["run_id"]
    assert document["reviews"] == 200


@pytest.mark.usefixtures("standing")
def test_what_does_not_go_together_is_one_message(made: dict[str, Any], call: Caller) -> None:
    one, *_ = made["weights"]
    assert "needs two models or more" in call.fail(ensemble.main, "--runs", one)
    assert "named twice" in call.fail(ensemble.main, "--runs", f"{one} {one}")
    assert "is an ensemble itself" in call.fail(ensemble.main, "--runs", f"{one} {made['run_id']}")
    assert "has no run" in call.fail(ensemble.main, "--runs", f"{one} {'0' * 32}")


def test_other_reviews_are_refused(standing: Project, made: dict[str, Any], call: Caller) -> None:
    one, two, _ = made["weights"]
    standing.change(fetch={"synthetic": {"seed": 1}})
    standing.run("dvc", "repro", "fetch")
    message = call.fail(ensemble.main, "--runs", f"{one} {two}")
    assert message.startswith("data/fetch has other reviews than the models were evaluated on")
    standing.run("dvc", "repro")
    message = call.fail(ensemble.main, "--runs", f"{one} workspace")
    assert "differ in fetch.synthetic.seed" in message


def test_a_member_whose_file_was_changed_is_refused_and_nothing_is_logged(
    standing: Project, made: dict[str, Any], call: Caller
) -> None:
    before = run_ids(standing)
    one, two, _ = made["weights"]
    (file,) = (standing.path / "mlruns").rglob("artifacts/model.keras")
    file.write_bytes(file.read_bytes()[:-1])
    message = call.fail(ensemble.main, "--runs", f"{one} {two}")
    assert "artifacts/model.keras is not as the stage wrote it" in message
    assert run_ids(standing) == before


def test_a_member_has_only_files_of_its_own_folder_that_it_lists(
    standing: Project, made: dict[str, Any], call: Caller
) -> None:
    before = run_ids(standing)
    folder = next((standing.path / "mlruns").rglob("artifacts/model.npz")).parent
    written = files.read_json(folder / "settings.json")
    outside = standing.path / "private.npz"
    climbing = f"{'../' * 30}{outside.relative_to('/')}"
    for path in (outside, folder / "unlisted.npz"):
        shutil.copy2(folder / "model.npz", path)
    for name, listed in [
        ("unlisted.npz", []),
        (str(outside), []),
        (str(outside), [str(outside), outside.name]),
        (climbing, [climbing, outside.name]),
    ]:
        digests = written["files"] | dict.fromkeys(listed, files.sha256(outside))
        changes = {"model": {**written["model"], "file": name}, "files": digests}
        files.write_json(folder / "settings.json", {**written, **changes})
        message = call.fail(ensemble.main, "--runs", " ".join([*made["weights"]][1:]))
        assert f"settings.json is not as the stage wrote it ({name} is not one of its" in message
        assert outside.read_bytes() == (folder / "model.npz").read_bytes()
    assert run_ids(standing) == before
