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
from tests.extras.conftest import NAME, fork_dvc
from tests.project import Project
from workflow import dvc

OTHERS = {f"test_{name}": 0.5 for name in shown_in("groups") if name != "accuracy"}


def the_parent() -> Run:
    (parent,) = [run for run in runs() if "seeds.key" in run.data.tags]
    return parent


def children() -> dict[int, Run]:
    """The runs under the parent, by seed."""
    query = f"tags.`mlflow.parentRunId` = '{the_parent().info.run_id}'"
    trained = mlflow.MlflowClient().search_runs(["1"], query)
    return {int(run.data.params["train.seed"]): run for run in trained}


def experiments(project: Project) -> dict[str, str]:
    """The commits of all DVC experiments, by name."""
    form = "--format=%(refname:lstrip=-1) %(objectname)"
    listed = project.read("git", "for-each-ref", form, "refs/exps/*/*/*")
    return dict(line.split() for line in listed.splitlines())


def test_the_parent_has_mean_and_spread_of_its_children(group: Project) -> None:
    parent, by_seed = the_parent(), children()
    assert sorted(by_seed) == [42, 43]
    accuracies = [by_seed[seed].data.metrics["test_accuracy"] for seed in (42, 43)]
    expected = {
        "mean": pytest.approx(np.mean(accuracies)),
        "sd": pytest.approx(np.std(accuracies, ddof=1)),
        "min": min(accuracies),
        "max": max(accuracies),
    }
    for name, value in expected.items():
        assert parent.data.metrics[f"test_accuracy_{name}"] == value
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == f"2 seeds · {NAME} · synthetic"
    assert parent.data.params["train.units"] == "4"
    assert "train.seed" not in parent.data.params
    assert json.loads(parent.data.tags["seeds.runs"]) == {
        str(seed): run.info.run_id for seed, run in by_seed.items()
    }
    names = json.loads(parent.data.tags["seeds.experiments"])
    assert set(names.values()) <= experiments(group).keys()


def test_what_dvc_has_is_not_trained_again_and_lost_runs_are_made_again(
    group: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_data = json.loads(Path("data/train/run.json").read_bytes())["run_id"]
    assert children()[42].info.run_id == of_data
    before = [run.to_dictionary() for run in runs()]
    assert "Running stage" not in group.run("python", "-m", "extras.seeds", "--count", "2")
    assert [run.to_dictionary() for run in runs()] == before
    lost = children()[43].info.run_id
    mlflow.delete_run(lost)
    monkeypatch.setattr(dvc, "run", None)  # so that a training would fail
    call(seeds.main, N="2")
    assert children()[43].data.tags["restored_from"] == lost


def lose_cache(project: Project, remote: str) -> None:
    """Lose DVC's cache, but for what is in `data/`, and name a remote."""
    shutil.rmtree(project.path / ".dvc" / "cache")
    project.run("dvc", "commit", "--force", "dvc.yaml")
    project.run("dvc", "remote", "add", "--default", "shared", remote)


def test_a_remote_that_cannot_be_reached_costs_no_experiment(group: Project, call: Caller) -> None:
    lose_cache(group, "http://127.0.0.1:1/data")
    before = experiments(group)
    for address in ("http://127.0.0.1:1/data", "/not/mounted"):
        group.run("dvc", "remote", "modify", "shared", "url", address)
        said = call.fail(seeds.main, "--count", "2")
        assert "the DVC remote shared cannot be reached" in said
        assert experiments(group) == before


def test_lost_and_further_seeds_are_trained_and_more_or_fewer_share_the_parent(
    group: Project, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "remote").mkdir()
    lose_cache(group, str(tmp_path / "remote"))
    parent_id, before = the_parent().info.run_id, experiments(group)
    with monkeypatch.context() as patch:
        patch.setattr(dvc, "run", lambda *asked: asked[-1].endswith("seed=43"))  # fails for that
        message = call.fail(seeds.main, "--count", "2")
    assert "The training of seed 43 failed, see above. `make seeds` resumes from here" in message
    assert set(before.values()) == set(experiments(group).values())

    output = fork_dvc(group, monkeypatch)
    printed = json.loads(call(seeds.main, "--json", "--count", "3").splitlines()[-1])
    assert ["Running stage 'train'" in text for text in output] == [True, True]
    after = experiments(group)
    changed, added = sorted(name for name in after if after[name] != before.get(name))
    assert changed.endswith("-43")
    assert added.endswith("-44")
    assert after.keys() == before.keys() | {added}
    parent, by_seed = the_parent(), children()
    assert printed["run_id"] == parent.info.run_id == parent_id
    assert printed["name"] == parent.info.run_name == f"3 seeds · {NAME} · synthetic"
    mean = parent.data.metrics["test_accuracy_mean"]
    assert printed["metrics"]["test_accuracy_mean"] == pytest.approx(mean)
    assert sorted(by_seed) == [42, 43, 44]
    for training in printed["trainings"]:
        run = by_seed[training["seed"]]
        assert training["run_id"] == run.info.run_id
        assert training["experiment"].endswith(f"-{training['seed']}")
        assert training["metrics"]["test_accuracy"] == run.data.metrics["test_accuracy"]
    call(seeds.main, N="2")
    assert sorted(children()) == [42, 43]


@pytest.mark.parametrize("text", ["1", "many"])
def test_a_number_that_makes_no_group_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.UsageError, match="is not"):
        seeds.main.make_context("seeds", [f"--count={text}"])


def test_the_table_names_each_run_and_the_spread_of_what_is_defined() -> None:
    members = [
        Member(seed, f"seeds-{seed}", f"run-{seed}", {}, {"test_accuracy": accuracy, **OTHERS})
        for seed, accuracy in {1: 0.80, 2: 0.82, 3: 0.87}.items()
    ]
    del members[1].metrics["test_f1"]  # as of a metric that is NaN
    group = Group("3 seeds", "key", members)
    printed = groups.table(group, "parent")
    assert re.search(r"^ +2 +0\.8200  run-2  seeds-2$", printed, re.MULTILINE)
    assert "accuracy 0.8300 ± 0.0361" in printed
    assert "F1" not in printed
    assert "differences of up to 7.00 points of accuracy, 0.8000 to 0.8700" in printed
    assert "make compare B=parent" in printed
    spreads = groups.document(group, "parent")["metrics"]
    assert {"test_f1_mean", "test_loss_mean"} & spreads.keys() == {"test_loss_mean"}


def test_trainings_on_texts_that_changed_meanwhile_are_no_group() -> None:
    members = [
        Member(seed, f"seeds-{seed}", f"run-{seed}", {"fetch.table.train_sha256": digest}, {})
        for seed, digest in enumerate(["one", "one", "another"])
    ]
    groups.require_same_data(members[:2])
    with pytest.raises(UserError, match="The texts changed between two trainings"):
        groups.require_same_data(members)
