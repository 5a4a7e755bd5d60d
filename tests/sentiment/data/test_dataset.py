"""Which settings shape a data set."""

from pathlib import Path

from sentiment.data.dataset import settings_used
from stages import fetch
from tests.conftest import defaults
from tests.project import change_params
from workflow import files
from workflow.files import FETCH, read_reviews
from workflow.params import Params


def test_where_it_came_from_does_not_shape_the_data(default_params: Params) -> None:
    used = settings_used(default_params.fetch)
    assert set(used) == {"fetch.dataset", "fetch.archive_sha256", "fetch.word_index_sha256"}


def test_settings_shape_a_synthetic_set(small_params: Params) -> None:
    used = settings_used(small_params.fetch)
    assert used["fetch.synthetic.train_reviews"] == 320
    assert "fetch.archive_sha256" not in used


def test_synthetic_set_has_the_same_form_on_disk(in_tmp_path: Path) -> None:
    path = in_tmp_path / "params.yaml"
    files.write_json(path, defaults())
    sizes = {"train_reviews": 100, "test_reviews": 120}
    change_params(path, {"fetch": {"dataset": "synthetic", "synthetic": sizes}})
    fetch.main()
    assert len(read_reviews(FETCH, "train")) == 100
    assert len(read_reviews(FETCH, "test")) == 120
    assert files.read_json(FETCH / "word_index.json")["the"] >= 1
