"""Which models make an ensemble, and how much each counts."""

from pathlib import Path

import pytest

from extras.ensemble import members
from extras.ensemble.members import choose, read_artifacts
from sentiment.errors import UserError
from tests.extras.compare.test_comparison import right, side, training
from workflow import files

GROUP = side("group", training("one", right(4)), training("two", right(4)))


def test_each_side_counts_as_much_and_its_trainings_share() -> None:
    chosen = choose([GROUP, side("three", training("three", right(4)))])
    weights = {each.training.run_id: each.weight for each in chosen}
    assert weights == {"one": 0.25, "two": 0.25, "three": 0.5}


def test_a_group_alone_is_an_ensemble_and_a_training_alone_is_none() -> None:
    assert [each.weight for each in choose([GROUP])] == [0.5, 0.5]
    with pytest.raises(UserError, match="needs two models or more"):
        choose([side("one", training("one", right(4)))])


def test_a_training_counts_once() -> None:
    with pytest.raises(UserError, match="named twice"):
        choose([GROUP, side("one", GROUP.trainings[0])])


@pytest.mark.parametrize(
    "changed", [{"data__test__sha256": "others"}, {"fetch__dataset": "synthetic"}]
)
def test_models_of_other_data_are_refused(changed: dict[str, str]) -> None:
    other = side("other", training("other", right(4), **changed))
    with pytest.raises(UserError, match=r"name one and name other differ in .*the same data"):
        choose([GROUP, other])


def test_models_of_other_params_go_together() -> None:
    assert len(choose([GROUP, side("other", training("other", right(4), train__units=8))])) == 3


def test_an_ensemble_is_no_member() -> None:
    joined = training("joined", right(4), **{members.RUNS: "one × 0.5"})
    with pytest.raises(UserError, match="name joined is an ensemble itself"):
        choose([GROUP, side("joined", joined)])


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
        read_artifacts(tmp_path)
