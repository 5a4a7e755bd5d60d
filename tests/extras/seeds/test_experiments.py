"""The names of the experiments of seeds, and the texts that they need."""

from typing import Any

import pytest

from extras.seeds import __main__ as seeds
from extras.seeds import experiments
from sentiment.errors import UserError
from tests.conftest import Caller, defaults
from tests.own_texts import NAME, use_table, write_texts
from tests.project import SMALL, Project, merge_changes
from workflow import provenance
from workflow.params import load_params, validate_params


def test_name_depends_on_params_and_code_but_not_on_the_first_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provenance, "code_digests", lambda _: {"train.py": "digest"})

    def named(**changes: Any) -> str:
        params = validate_params(
            merge_changes(merge_changes(defaults(), SMALL), changes), "params.yaml"
        )
        return experiments.seed_experiments(params, 2)[1].name

    before = named()
    assert before.endswith("-43")
    assert before != named(train={"units": 5})
    assert before != named(evaluate={"threshold": 0.4})
    assert before == named(promote={"alpha": 0.01})
    assert before.removesuffix("-43") == named(train={"seed": 7}).removesuffix("-8")
    monkeypatch.setattr(provenance, "code_digests", lambda _: {"train.py": "another"})
    assert before != named()


@pytest.mark.slow
def test_texts_must_be_tracked_and_change_the_name(
    fresh: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.path)
    write_texts(fresh.path / NAME, seed=0)
    use_table(fresh, NAME)
    message = call.fail(seeds.main, "--count", "2")
    assert f"Neither git nor DVC tracks {NAME}" in message
    assert f"dvc add '{NAME}'" in message
    params = load_params()
    before = experiments.group_key(params)
    fresh.run("git", "add", NAME)
    experiments.check_texts_are_tracked(params.fetch)
    write_texts(fresh.path / NAME, seed=1)
    changed = experiments.group_key(params)
    assert changed != before
    (fresh.path / "added").mkdir()
    write_texts(fresh.path / "added" / "labeled.csv", seed=2)
    fresh.change(fetch={"added_texts": "added"})
    params = load_params()
    with pytest.raises(UserError, match=r"Neither git nor DVC tracks added/labeled\.csv"):
        experiments.check_texts_are_tracked(params.fetch)
    (fresh.path / "added.dvc").touch()  # DVC tracks the folder
    experiments.check_texts_are_tracked(params.fetch)
    assert experiments.group_key(params) != changed
