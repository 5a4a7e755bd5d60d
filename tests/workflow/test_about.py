"""`about.json` is read back into the params that a folder depends on."""

import json
from pathlib import Path

import pytest

from sentiment.data.params import describe_dataset
from workflow.about import AboutEvaluate, AboutFetch, AboutTrain, read_about, write_about
from workflow.files import DamagedError, sha256
from workflow.params import Params


@pytest.fixture
def about(default_params: Params) -> AboutTrain:
    return AboutTrain(
        dataset=describe_dataset(default_params.fetch),
        pad=default_params.pad,
        train=default_params.train,
    )


def test_params_are_read_back_typed_and_files_have_their_digests(
    tmp_path: Path, about: AboutTrain
) -> None:
    (tmp_path / "model.keras").write_bytes(b"model")
    write_about(tmp_path, about)
    read = read_about(tmp_path, AboutTrain)
    assert read.files == {"model.keras": sha256(tmp_path / "model.keras")}
    assert read.model_copy(update={"files": {}}) == about


def test_flat_params_have_dotted_names(about: AboutTrain) -> None:
    flat = about.flat_params()
    assert flat["fetch.dataset"] == "imdb"
    assert flat["pad.max_length"] == 200
    assert flat["train.dropout.head"] == 0.0
    assert "fetch.table" not in flat


def test_evaluation_of_an_ensemble_names_its_members(
    tmp_path: Path, default_params: Params
) -> None:
    about = AboutEvaluate(
        dataset=describe_dataset(default_params.fetch),
        evaluate=default_params.evaluate,
        digests={"data.test.sha256": "abc"},
        other={"ensemble.runs": "a × 0.5, b × 0.5"},
    )
    write_about(tmp_path, about)
    flat = read_about(tmp_path, AboutEvaluate).flat_params()
    assert flat["ensemble.runs"] == "a × 0.5, b × 0.5"
    assert flat["evaluate.threshold"] == 0.5
    assert "train.units" not in flat


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "differs from what the stage wrote"),
        ('{"files": {}}', "dataset: Field required"),
        (None, "is missing. `dvc repro` makes it"),
    ],
)
def test_damaged_about_is_refused(tmp_path: Path, content: str | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "about.json").write_text(content, encoding="utf-8")
    with pytest.raises(DamagedError, match=f"about.json .*{problem}|about.json {problem}"):
        read_about(tmp_path, AboutFetch)


def test_unknown_key_is_refused(tmp_path: Path, about: AboutTrain) -> None:
    document = {**about.model_dump(exclude_none=True), "params": {"train.units": 4}}
    (tmp_path / "about.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(DamagedError, match="params: Extra inputs are not permitted"):
        read_about(tmp_path, AboutTrain)
