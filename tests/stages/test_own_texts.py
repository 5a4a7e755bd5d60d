"""A file of one's own texts goes through the same pipeline, and the texts stay on this machine."""

import hashlib
import json
from pathlib import Path
from uuid import uuid4

import mlflow
import numpy as np
import pandas as pd
import pytest

from sentiment.data import table
from stages import fetch
from tests.conftest import Caller, own_copy, runs, stand_in
from tests.own_texts import CONTROLS, HARMFUL, MODEL, NAME, use_table, write_texts
from tests.project import Project
from tests.services import web
from tools import predict, repro
from workflow.params import load_params

pytestmark = pytest.mark.slow
SECRET = uuid4().hex


@pytest.fixture
def shared_project(own_texts: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Make the shared project the working directory. Tests must not change it."""
    stand_in(own_texts.path, monkeypatch)
    return own_texts


@pytest.fixture
def own(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Copy the shared project for one test, and make the copy the working directory."""
    return own_copy(own_texts, tmp_path, monkeypatch)


def test_run_names_the_file_and_its_digest_and_has_its_own_registered_model(
    shared_project: Project,
) -> None:
    (run,) = runs()
    digest = hashlib.sha256((shared_project.path / NAME).read_bytes()).hexdigest()
    assert run.data.params["fetch.table.train"] == NAME
    assert run.data.params["fetch.table.train_sha256"] == digest
    assert run.data.tags["dataset"] == NAME
    assert run.inputs
    names = {used.dataset.name for used in run.inputs.dataset_inputs}
    assert names == {f"{NAME}-{split}" for split in ("training", "validation", "test")}
    assert run.info.run_name == f"lstm-4 · len 40 · seed 42 · {NAME}"
    champion = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["promote.reason"] == "there was none before"
    assert champion.tags["dataset"] == NAME


def test_served_model_predicts_as_the_evaluation_did(
    shared_project: Project, tmp_path: Path
) -> None:
    texts = write_texts(tmp_path / "again.csv", seed=0)
    labels = np.array([int(label) for _, label in texts], np.uint8)
    groups = np.zeros(len(labels), np.int64)
    test_rows = np.flatnonzero(table.choose_test_rows(labels, groups, load_params().fetch.table))
    served = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    predictions = served.predict(pd.DataFrame({"text": [texts[row][0] for row in test_rows]}))
    probabilities = np.load(shared_project.path / "data/evaluate/probabilities.npy")
    order = np.load(shared_project.path / "data/pad/test_order.npy")
    served_probabilities = predictions["probability"].to_numpy()
    np.testing.assert_array_equal(served_probabilities[order], probabilities)


@pytest.mark.usefixtures("shared_project")
def test_text_cannot_control_the_terminal(call: Caller) -> None:
    printed = call(predict.main, TEXT=HARMFUL)
    assert not set(printed) & CONTROLS
    assert "�[2J�" in printed


def test_changed_file_reruns_the_stages_that_depend_on_it(own: Project) -> None:
    assert json.loads(own.run("dvc", "status", "--json", "dvc.yaml")) == {}
    write_texts(own.path / NAME, seed=1)
    assert set(json.loads(own.run("dvc", "status", "--json", "dvc.yaml"))) == {"fetch"}


def test_clone_has_texts_that_dvc_tracks_and_gives_the_same_files(own: Project) -> None:
    own.run("git", "rm", "--quiet", "--cached", "--", NAME)
    own.run("git", "commit", "--quiet", "--message", "without")
    own.run("dvc", "add", NAME)
    own.commit()
    before = own.contents("data")
    output = own.run("python", "-m", "tools.verify")
    assert "Running stage 'train'" in output
    assert "files are the same, bit for bit" in output
    assert own.contents("data") == before


def test_signature_in_a_url_is_refused_before_dvc_records_it(
    fresh: Project, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.path)
    write_texts(tmp_path / "reviews.csv", seed=0)
    with web(tmp_path) as url:
        use_table(fresh, f"{url}/reviews.csv?signature={SECRET}")
        for output in (fresh.fail("dvc", "repro"), call.fail(repro.main)):
            assert "fetch.table.train: A URL with ? or # may hold a signature" in output
            assert SECRET not in output
    contents = fresh.contents(".").items()
    assert {path for path, content in contents if SECRET.encode() in content} == {"params.yaml"}


def test_missing_or_damaged_file_leaves_the_fetched_dataset(own: Project, call: Caller) -> None:
    before = own.contents("data/fetch")
    (own.path / NAME).write_text("body,stars\nfine,1\nbad,0\nso,?\n", encoding="utf-8")
    assert "row 3 (line 4): column 'stars' has a third label, '?'" in call.fail(fetch.main)
    (own.path / NAME).unlink()
    assert f"There is no file {NAME}." in call.fail(fetch.main)
    assert own.contents("data/fetch") == before
    assert [*own.path.glob("data/.*")] == [own.path / "data/.gitignore"]
