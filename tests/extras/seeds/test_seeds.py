"""`make seeds`: each seed once, by DVC; one parent run with mean and spread."""

import json
import re
import shutil
from pathlib import Path

import click
import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from extras.seeds import __main__ as seeds
from extras.seeds import seed_group as groups
from extras.seeds.seed_group import Group, Member
from sentiment.errors import UserError
from sentiment.scoring.metrics import shown_in
from tests.conftest import Caller, runs
from tests.project import Project
from workflow import dvc

SEEDS = ("python", "-m", "extras.seeds")
OTHERS = {f"test_{name}": 0.5 for name in shown_in("groups") if name != "accuracy"}


def parents() -> list[Run]:
    return [run for run in runs() if "seeds.key" in run.data.tags]


def children() -> dict[int, Run]:
    """The runs under the one parent, by seed."""
    (parent,) = parents()
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    trained = mlflow.MlflowClient().search_runs(["1"], query)
    return {int(run.data.params["train.seed"]): run for run in trained}


def test_the_parent_has_mean_and_spread_of_its_children(group: Project) -> None:
    (parent,), by_seed = parents(), children()
    assert sorted(by_seed) == [42, 43]
    accuracies = [by_seed[seed].data.metrics["test_accuracy"] for seed in (42, 43)]
    metrics = parent.data.metrics
    assert metrics["test_accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert metrics["test_accuracy_sd"] == pytest.approx(np.std(accuracies, ddof=1))
    assert metrics["test_accuracy_min"] == min(accuracies)
    assert metrics["test_accuracy_max"] == max(accuracies)
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "2 seeds · lstm-4 · len 40 · synthetic"
    assert parent.data.params["train.units"] == "4"
    assert "train.seed" not in parent.data.params
    assert json.loads(parent.data.tags["seeds.runs"]) == {
        str(seed): run.info.run_id for seed, run in by_seed.items()
    }
    names = json.loads(parent.data.tags["seeds.experiments"])
    assert set(names.values()) <= set(group.run("dvc", "exp", "list", "--name-only").split())


def test_what_dvc_has_is_not_trained_again_and_lost_runs_are_made_again(group: Project) -> None:
    of_data = json.loads((group.path / "data/train/run.json").read_bytes())["run_id"]
    assert children()[42].info.run_id == of_data
    before = [run.to_dictionary() for run in runs()]
    assert "Running stage" not in group.run(*SEEDS, "--count", "2")
    assert [run.to_dictionary() for run in runs()] == before
    lost = children()[43].info.run_id
    mlflow.delete_run(lost)
    assert "Running stage" not in group.run(*SEEDS, "--count", "2")
    assert children()[43].data.tags["restored_from"] == lost


def experiments(project: Project) -> dict[str, str]:
    """The commits of all DVC experiments, by name."""
    form = "--format=%(refname:lstrip=-1) %(objectname)"
    listed = project.read("git", "for-each-ref", form, "refs/exps/*/*/*")
    return dict(line.split() for line in listed.splitlines())


def lose_cache(project: Project, remote: str) -> None:
    """Lose DVC's cache, but for what is in `data/`, and name a remote."""
    shutil.rmtree(project.path / ".dvc" / "cache")
    project.run("dvc", "commit", "--force", "dvc.yaml")
    project.run("dvc", "remote", "add", "--default", "shared", remote)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/data", "/not/mounted"])
def test_a_remote_that_cannot_be_reached_costs_no_experiment(
    group: Project, call: Caller, address: str
) -> None:
    lose_cache(group, address)
    before = experiments(group)
    said = call.fail(seeds.main, "--count", "2")
    assert "the DVC remote shared cannot be reached" in said
    assert experiments(group) == before


def test_an_experiment_whose_files_are_lost_is_removed_once_its_successor_is_trained(
    group: Project, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "remote").mkdir()
    lose_cache(group, str(tmp_path / "remote"))
    before = experiments(group)
    with monkeypatch.context() as patch:
        patch.setattr(dvc, "run", lambda *asked: asked[-1].endswith("seed=43"))  # fails for that
        message = call.fail(seeds.main, "--count", "2")
    assert "The training of seed 43 failed, see above. `make seeds` resumes from here" in message
    assert set(before.values()) == set(experiments(group).values())
    assert group.run(*SEEDS, "--count", "2").count("Running stage 'train'") == 1
    after = experiments(group)
    assert after.keys() == before.keys()
    (changed,) = (name for name in after if after[name] != before[name])
    assert changed.endswith("-43")


@pytest.mark.parametrize("text", ["1", "many"])
def test_a_number_that_makes_no_group_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.UsageError, match="is not"):
        seeds.main.make_context("seeds", [f"--count={text}"])


def test_the_table_names_each_run_and_the_spread() -> None:
    members = [
        Member(seed, f"seeds-{seed}", f"run-{seed}", {}, {"test_accuracy": accuracy, **OTHERS})
        for seed, accuracy in {1: 0.80, 2: 0.82, 3: 0.87}.items()
    ]
    printed = groups.table(Group("3 seeds", "key", members), "parent")
    assert re.search(r"^ +2 +0\.8200  run-2  seeds-2$", printed, re.MULTILINE)
    assert "accuracy 0.8300 ± 0.0361" in printed
    assert "differences of up to 7.00 points of accuracy, 0.8000 to 0.8700" in printed
    assert "make compare B=parent" in printed


def test_trainings_on_texts_that_changed_meanwhile_are_no_group() -> None:
    members = [
        Member(seed, f"seeds-{seed}", f"run-{seed}", {"fetch.table.train_sha256": digest}, {})
        for seed, digest in enumerate(["one", "one", "another"])
    ]
    groups.require_same_data(members[:2])
    with pytest.raises(UserError, match="The texts changed between two trainings"):
        groups.require_same_data(members)
