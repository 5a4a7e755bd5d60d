"""Which models make an ensemble, and how much each counts."""

from pathlib import Path

import pandas as pd
import pytest

from extras.common.evaluated_runs import RunGroup, Training
from extras.ensemble.members import choose, read_model
from sentiment.errors import UserError
from workflow import files


def group(*run_ids: str, **changed: str) -> RunGroup:
    """A group of trainings of the same data, but for what is changed; `x__y` stands for `x.y`."""
    params = {"fetch.dataset": "imdb", "data.test.sha256": "reviews", "train.units": "4"}
    params |= {name.replace("__", "."): value for name, value in changed.items()}
    table = pd.DataFrame()
    trainings = [Training(id_, f"name {id_}", params, table, table, None, {}) for id_ in run_ids]
    return RunGroup("group", "group", "group", trainings)


def test_each_group_counts_as_much_and_its_trainings_share() -> None:
    chosen = choose([group("one", "two"), group("three", train__units="8")])
    weights = {member.training.run_id: member.weight for member in chosen}
    assert weights == {"one": 0.25, "two": 0.25, "three": 0.5}
    assert [member.weight for member in choose([group("one", "two")])] == [0.5, 0.5]


@pytest.mark.parametrize(
    "changed", [{"data__test__sha256": "others"}, {"fetch__dataset": "synthetic"}]
)
def test_models_of_other_data_are_refused(changed: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"name one and name other differ in .*the same data"):
        choose([group("one", "two"), group("other", **changed)])


@pytest.mark.parametrize("reader", ["antigravity", "extras.common.run_groups", "/tmp/any_reader"])
def test_a_member_s_reader_is_one_of_the_project_s(tmp_path: Path, reader: str) -> None:
    """The version's author wrote its name, and what it names is imported and packed."""
    (tmp_path / "any_reader.py").touch()
    for name in ("model.npz", "word_index.json"):
        (tmp_path / name).write_text("content", encoding="utf-8")
    listed = {name: files.sha256(tmp_path / name) for name in ("model.npz", "word_index.json")}
    model = {"reader": reader, "file": "model.npz", "weight": 1.0}
    files.write_json(tmp_path / "settings.json", {"model": model, "files": listed})
    with pytest.raises(UserError, match="is no reader of this project"):
        read_model(tmp_path)


def test_a_member_of_a_version_before_0_2_0_is_refused(tmp_path: Path) -> None:
    files.write_json(tmp_path / "settings.json", {"files": {"model.keras": "digest"}})
    with pytest.raises(UserError, match=r"of a version before 0\.2\.0"):
        read_model(tmp_path)
