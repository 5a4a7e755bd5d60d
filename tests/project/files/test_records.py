"""The JSON files of a project are read as they were written, or refused with one message."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sentiment.errors import UserError
from sentiment.params import FetchParams, TableParams
from sentiment.project.files.documents import new_folder, write_json
from sentiment.project.files.paths import DATASET_FILE, Project
from sentiment.project.files.records import (
    PaddedDataset,
    RunRecord,
    read_model_config,
    read_padded_dataset,
    read_run_record,
    write_record,
)
from sentiment.text.model_files import CONFIG_FILE
from tests.params import training_params

OWN = FetchParams(dataset="table", table=TableParams(train="texts/own.csv", tokenizer="unicode"))
DATASET = PaddedDataset(
    fetch=OWN,
    label_names=["bad", "good"],
    test_set_digest="0123",
    num_words=10_000,
    max_length=200,
    length=7,
    padding="pre",
    truncating="pre",
    vectors="glove.txt",
    median_words=4.0,
)
RECORD = RunRecord(
    run_id="89ab",
    fetch=FetchParams(),
    training=training_params(),
    fitted={"batch_size": 8},
    tags={},
    diff="",
    padded_digest="4567",
)


@pytest.fixture
def here(in_tmp_path: Path) -> Project:  # noqa: ARG001
    """Return a project with the folders of its stages."""
    project = Project.here()
    for folder in (project.padded, project.trained):
        new_folder(folder)
    return project


def test_records_are_read_back(here: Project) -> None:
    write_record(here.padded / DATASET_FILE, DATASET)
    write_record(here.run_file, RECORD)
    assert read_padded_dataset(here) == DATASET
    assert read_run_record(here) == RECORD


def test_the_config_of_a_model_says_how_its_texts_are_read(here: Project) -> None:
    write_json(here.trained / CONFIG_FILE, asdict(DATASET.config()))
    config = read_model_config(here)
    assert config == DATASET.config()
    assert (config.dataset, config.tokenizer) == ("own.csv", "unicode")
    assert config.label_names == ["bad", "good"]
    assert config.layout.max_length == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"max_length": 30},
        {"num_words": 500},
        {"padding": "post"},
        {"truncating": "post"},
        {"vectors": ""},
        {"model": "linear"},
    ],
)
def test_rows_are_made_again_for_other_params_of_the_layout_or_other_vectors(
    changes: dict[str, Any],
) -> None:
    used: dict[str, Any] = {"vectors": "glove.txt"}
    assert DATASET.is_made_with(training_params(**used, units=8))
    assert not DATASET.is_made_with(training_params(**{**used, **changes}))


def test_a_run_has_the_params_that_its_training_reads() -> None:
    params = RECORD.params()
    assert params["model"] == "lstm"
    assert params["units"] == "64"
    assert params["fetch.dataset"] == "imdb"
    assert params["fitted.batch_size"] == "8"
    assert "ngrams" not in params


@pytest.mark.parametrize("content", ["", "no JSON", "{}", '{"run_id": 1}'])
def test_a_damaged_record_is_one_message(here: Project, content: str) -> None:
    here.run_file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"^data/run\.json is damaged \("):
        read_run_record(here)
    (here.trained / CONFIG_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"^data/train/config\.json is damaged \("):
        read_model_config(here)


def test_a_missing_record_is_one_message(here: Project) -> None:
    with pytest.raises(UserError, match=r"^data/run\.json is missing\. `dvc repro` makes it"):
        read_run_record(here)
