"""Trainings as DVC experiments: their names, seeds and params, and the texts that they need."""

from pathlib import Path
from typing import Any

import pytest

from extras.seeds import __main__ as seeds
from extras.seeds import experiments
from sentiment.errors import UserError
from tests.conftest import Caller, defaults
from tests.own_texts import NAME, use_table, write_texts
from tests.project import SMALL, Project, merged
from workflow.params import Params, check_params, load_params
from workflow.runs import identity


def small(**changes: Any) -> Params:
    return check_params(merged(merged(defaults(), SMALL), changes), "params.yaml")


def test_a_name_changes_with_whatever_shapes_the_training_or_its_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identity, "code_digests", lambda _: {"train.py": "digest"})

    def named(**changes: Any) -> str:
        return experiments.under_seeds(small(**changes), 2)[0].name

    assert named() != named(train={"units": 5})
    assert named() != named(evaluate={"threshold": 0.4})
    assert named() == named(promote={"alpha": 0.01})
    assert named().removesuffix("-42") == named(train={"seed": 7}).removesuffix("-7")
    before = named()
    monkeypatch.setattr(identity, "code_digests", lambda _: {"train.py": "another"})
    assert named() != before


def test_seeds_go_up_from_the_one_in_the_params() -> None:
    wanted = experiments.under_seeds(small(train={"seed": 42}), 3)
    assert [[*experiment.changes.items()] for experiment in wanted] == [
        [("train.seed", seed)] for seed in (42, 43, 44)
    ]
    with pytest.raises(UserError, match="must be below 4294967296"):
        experiments.under_seeds(small(train={"seed": 2**32 - 1}), 2)


def test_without_a_commit_it_is_one_message(in_tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no git repository with a commit"):
        experiments.require_copies(small().fetch)
    assert list(in_tmp_path.iterdir()) == []


def test_texts_are_in_each_copy_and_others_make_another_training(
    fresh: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.path)
    write_texts(fresh.path / NAME, seed=0)
    use_table(fresh, NAME)
    message = call.fail(seeds.main, "--count", "2")
    assert f"{NAME} is known neither to git nor to DVC" in message
    assert f"dvc add '{NAME}'" in message
    params = load_params()
    before = experiments.short_key(params)
    fresh.run("dvc", "add", NAME)
    experiments.require_copies(params.fetch)
    assert experiments.short_key(params) == before
    write_texts(fresh.path / NAME, seed=1)
    assert experiments.short_key(params) != before
    use_table(fresh, "../outside.csv")
    message = call.fail(seeds.main, "--count", "2")
    assert "../outside.csv is outside the project" in message
    assert "absolute path" in message


def test_an_experiment_that_has_lost_a_file_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "copy_files", lambda *_: False)
    with pytest.raises(UserError, match=r"has all files of seeds-1\. .*dvc exp remove seeds-1"):
        experiments.require_files("seeds-1", ["data/fetch"], tmp_path)
