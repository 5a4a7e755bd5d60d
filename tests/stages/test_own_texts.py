"""Texts of one's own go through the same pipeline by naming a file, and stay where they should."""

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
def standing(own_texts: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """That project as the working directory; tests leave it as it is."""
    stand_in(own_texts.path, monkeypatch)
    return own_texts


@pytest.fixture
def own(own_texts: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project of one's own, as the working directory."""
    return own_copy(own_texts, tmp_path, monkeypatch)


def test_the_run_names_the_file_and_its_digest_and_has_a_registered_model_of_its_own(
    standing: Project,
) -> None:
    (run,) = runs()
    digest = hashlib.sha256((standing.path / NAME).read_bytes()).hexdigest()
    assert run.data.params["fetch.table.train"] == NAME
    assert run.data.params["fetch.table.train_sha256"] == digest
    assert run.data.tags["dataset"] == NAME
    assert run.inputs
    names = {used.dataset.name for used in run.inputs.dataset_inputs}
    assert names == {f"{NAME}-{part}" for part in ("training", "validation", "test")}
    assert run.info.run_name == f"lstm-4 · len 40 · seed 42 · {NAME}"
    champion = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["promote.reason"] == "there was no champion"
    assert champion.tags["dataset"] == NAME


def test_what_is_served_equals_what_was_evaluated(standing: Project, tmp_path: Path) -> None:
    texts = write_texts(tmp_path / "again.csv", seed=0)
    labels = np.array([int(label) for _, label in texts], np.uint8)
    groups = np.zeros(len(labels), np.int64)
    set_aside = np.flatnonzero(table.choose_test_rows(labels, groups, load_params().fetch.table))
    served = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    answers = served.predict(pd.DataFrame({"text": [texts[row][0] for row in set_aside]}))
    probabilities = np.load(standing.path / "data/evaluate/probabilities.npy")
    order = np.load(standing.path / "data/pad/test_order.npy")
    np.testing.assert_array_equal(answers["probability"].to_numpy()[order], probabilities)


@pytest.mark.usefixtures("standing")
def test_a_text_does_nothing_in_the_terminal(call: Caller) -> None:
    printed = call(predict.main, TEXT=HARMFUL)
    assert not set(printed) & CONTROLS
    assert "�[2J�" in printed


def test_a_changed_file_runs_again_what_depends_on_it(own: Project) -> None:
    assert json.loads(own.run("dvc", "status", "--json", "dvc.yaml")) == {}
    write_texts(own.path / NAME, seed=1)
    assert set(json.loads(own.run("dvc", "status", "--json", "dvc.yaml"))) == {"fetch"}


def test_copies_have_the_texts_once_dvc_knows_them_and_give_the_same_files(own: Project) -> None:
    own.run("git", "rm", "--quiet", "--cached", "--", NAME)
    own.run("git", "commit", "--quiet", "--message", "without")
    own.run("dvc", "add", NAME)
    own.commit()
    before = own.contents("data")
    output = own.run("python", "-m", "tools.verify")
    assert "Running stage 'train'" in output
    assert "files are the same, bit for bit" in output
    assert own.contents("data") == before


def test_a_signature_is_refused_before_dvc_records_it(
    fresh: Project, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.path)
    write_texts(tmp_path / "reviews.csv", seed=0)
    with web(tmp_path) as address:
        use_table(fresh, f"{address}/reviews.csv?signature={SECRET}")
        for output in (fresh.fail("dvc", "repro"), call.fail(repro.main)):
            assert "fetch.table.train: A URL with ? or # may hold a signature" in output
            assert SECRET not in output
    contents = fresh.contents(".").items()
    assert {path for path, content in contents if SECRET.encode() in content} == {"params.yaml"}


def test_a_file_that_is_not_there_or_damaged_leaves_what_was_fetched(
    own: Project, call: Caller
) -> None:
    before = own.contents("data/fetch")
    (own.path / NAME).write_text("body,stars\nfine,1\nbad,0\nso,?\n", encoding="utf-8")
    assert "row 3 (line 4): column 'stars' has a third label, '?'" in call.fail(fetch.main)
    (own.path / NAME).unlink()
    assert f"There is no file {NAME}." in call.fail(fetch.main)
    assert own.contents("data/fetch") == before
    assert [*own.path.glob("data/.*")] == [own.path / "data/.gitignore"]
