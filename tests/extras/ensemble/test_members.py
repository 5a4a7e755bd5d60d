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
    trainings = [Training(id_, f"name {id_}", params, table, table, {}) for id_ in run_ids]
    return RunGroup("group", "group", "group", trainings)


def test_each_group_counts_as_much_and_its_trainings_share() -> None:
    chosen = choose([group("one", "two"), group("three", train__units="8")])
    weights = {member.training.run_id: member.weight for member in chosen}
    assert weights == {"one": 0.25, "two": 0.25, "three": 0.5}
    assert [member.weight for member in choose([group("one", "two")])] == [0.5, 0.5]


def test_other_data_the_same_run_twice_and_a_single_one_are_refused() -> None:
    for name in ("data__test__sha256", "fetch__dataset"):
        with pytest.raises(UserError, match=r"name one and name other differ in .*the same data"):
            choose([group("one", "two"), group("other", **{name: "others"})])
    with pytest.raises(UserError, match="needs two models or more"):
        choose([group("one")])
    with pytest.raises(UserError, match="is named twice"):
        choose([group("one", "two"), group("one")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classifier": "run_groups"}, "'run_groups' is not one of keras_classifier, "),
        ({"classifier": "/tmp/any_classifier"}, "is not one of keras_classifier, "),
        ({"file": "unlisted.npz"}, "unlisted.npz is not one of its files"),
        ({"file": "../outside.npz"}, "../outside.npz is not one of its files"),
    ],
)
def test_a_member_has_readers_of_the_project_and_files_of_its_own_folder_that_it_lists(
    changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    """The version's author wrote the names: a reader is imported, and files are packed."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    names = ("model.npz", "word_index.json", "../outside.npz")
    for name in (*names, "unlisted.npz"):
        (folder / name).write_text("content", encoding="utf-8")
    listed = {Path(name).name: files.sha256(folder / name) for name in names} | {names[2]: ""}
    model = {"classifier": "linear_classifier", "file": "model.npz", "weight": 1.0}
    settings = {"model": model, "files": listed}
    files.write_json(folder / "config.json", settings)
    assert read_model(folder).path == folder / "model.npz"
    files.write_json(folder / "config.json", {**settings, "model": model | changes})
    with pytest.raises(UserError, match=message):
        read_model(folder)
