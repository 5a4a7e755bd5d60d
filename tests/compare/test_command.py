"""`sentiment compare` groups runs by what they have in common, and compares two."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from sentiment.project.files.documents import write_table
from tests.command import Command
from tests.predictions import predictions
from tests.small_project import ROOT, change_params

pytestmark = pytest.mark.slow
TAGS = {"processor": "Zen 4", "test_set_digest": "0123", "mlflow.source.git.commit": "a" * 40}


@pytest.fixture(autouse=True)
def client(empty_store: MlflowClient, in_tmp_path: Path) -> MlflowClient:
    """Return the client of an empty store in the folder of a project."""
    shutil.copy2(ROOT / "params.yaml", in_tmp_path)
    return empty_store


def log_run(
    client: MlflowClient,
    correct: int,
    seed: int = 42,
    params: Mapping[str, str] = {"units": "4"},
    code: str = "a",
    table: pd.DataFrame | None = None,
    **tags: str,
) -> str:
    """Log an evaluated run that is right about `correct` of 600 reviews, and return its id.

    Args:
        code: the digest of the code in dvc.lock.
        table: its predictions, if they are not the usual ones.
    """
    own = {**TAGS, "dataset": "imdb", "mlflow.runName": "a name", **tags}
    run_id = client.create_run("1", tags=own).info.run_id
    for key, value in {"model": "lstm", **params, "seed": seed}.items():
        client.log_param(run_id, key, value)
    for key, number in {"test_accuracy": correct / 600, "test_f1": 0.5}.items():
        client.log_metric(run_id, key, number)
    write_table(Path("predictions.csv"), predictions(correct) if table is None else table)
    client.log_artifact(run_id, "predictions.csv")
    train = {"deps": [{"path": "sentiment/model", "md5": code}]}
    client.log_text(run_id, json.dumps({"stages": {"train": train}}), "dvc.lock")
    client.set_terminated(run_id)
    return str(run_id)


def rows(printed: str) -> list[list[str]]:
    """Return the words of each line."""
    return [line.split() for line in printed.splitlines()]


def test_seeds_are_summarized_for_each_set_of_params_the_best_first(
    client: MlflowClient, sentiment: Command
) -> None:
    for seed, correct in ((42, 474), (43, 480), (44, 486)):
        log_run(client, correct, seed, {"units": "64"})
    other = log_run(client, 540, params={"units": "8"})
    printed = sentiment("compare")
    best, second = rows(printed)[1:3]
    assert best == ["lstm", "·", "units", "8", "1", "0.9000", "–", other[:8]]
    assert second[:8] == ["lstm", "·", "units", "64", "3", "0.8000", "0.7752", "to"]
    assert printed.splitlines()[-2:] == [
        f"To train another seed of the first row, with the params of run {other[:8]}:",
        "  dvc exp run --temp -S seed=43",
    ]


def test_a_group_is_named_by_what_not_all_groups_of_its_model_have(
    client: MlflowClient, sentiment: Command
) -> None:
    shared = {"num_words": "450", "max_length": "40"}
    for units in ("4", "8"):
        log_run(client, 480, params={**shared, "units": units})
    log_run(client, 540, params={**shared, "model": "linear", "ngrams": "2"})
    names = sorted(line.partition("  ")[0] for line in sentiment("compare").splitlines()[1:4])
    assert names == ["linear", "lstm · units 4", "lstm · units 8"]


def test_a_section_under_another_name_is_in_the_group_of_the_one_that_it_copies(
    client: MlflowClient, sentiment: Command
) -> None:
    log_run(client, 480, 42)
    log_run(client, 480, 43, {"model": "mine", "units": "4"})
    assert rows(sentiment("compare"))[1][1:3] == ["2", "0.8000"]


@pytest.mark.parametrize("change", [{"code": "b"}, {"processor": "Zen 5"}, {"xla": "AVX2"}])
def test_runs_with_other_code_or_another_machine_are_another_group(
    client: MlflowClient, sentiment: Command, change: dict[str, Any]
) -> None:
    log_run(client, 480, 42)
    log_run(client, 486, 43, **change)
    printed = sentiment("compare")
    assert [row[1] for row in rows(printed)[1:3]] == ["1", "1"]
    assert "Groups of the same name differ in code" in printed


def test_a_commit_that_leaves_the_code_as_it_is_splits_no_group(
    client: MlflowClient, sentiment: Command
) -> None:
    log_run(client, 480, 42)
    another: dict[str, Any] = {"mlflow.source.git.commit": "b" * 40}
    log_run(client, 486, 43, **another)
    assert rows(sentiment("compare"))[1][1] == "2"


def test_a_seed_that_was_trained_twice_counts_once(
    client: MlflowClient, sentiment: Command
) -> None:
    for seed in (42, 42, 43):
        log_run(client, 480, seed)
    assert rows(sentiment("compare"))[1][1] == "2"


def test_groups_of_different_test_sets_are_different_tables(
    client: MlflowClient, sentiment: Command
) -> None:
    log_run(client, 480)
    log_run(client, 540, test_set_digest="4567")
    printed = sentiment("compare")
    assert printed.index("Test set 4567:") < printed.index("0.9000")
    assert printed.index("Test set 0123:") < printed.index("0.8000")


def test_runs_are_found_after_their_experiment_was_renamed(
    client: MlflowClient, sentiment: Command
) -> None:
    log_run(client, 480)
    client.rename_experiment("1", "my trainings")
    assert "0.8000" in sentiment("compare")


def test_two_runs_are_compared_as_models_and_by_their_seeds(
    client: MlflowClient, sentiment: Command
) -> None:
    first = [log_run(client, correct, 42 + n) for n, correct in enumerate((474, 480, 486))]
    units = {"units": "8"}
    second = [log_run(client, correct, 42 + n, units) for n, correct in enumerate((510, 516, 534))]
    printed = sentiment("compare", first[0], second[2][:12])
    assert "The model of B: better" in printed
    assert "accuracy: A 0.7900, B 0.8900, on the 600 texts in both test sets" in printed
    assert "B − A: +10.00 points of accuracy, 95% interval +" in printed
    assert "The params of B: better" in printed
    assert "Mean accuracy: A 0.8000 over 3 seeds, B 0.8667 over 3 seeds" in printed
    assert "B − A: +6.67 points, 95% interval +" in printed
    assert ", few seeds" in printed
    assert ["units", "4", "8"] in rows(printed)


@pytest.mark.parametrize("name", ["it's.csv", 'the "best".csv', "a 'b' \"c\".csv"])
def test_runs_on_a_table_with_quotes_in_its_name_are_found(
    client: MlflowClient, sentiment: Command, name: str
) -> None:
    log_run(client, 480, dataset=name)
    change_params(Path("params.yaml"), {"fetch": {"dataset": "table", "table": {"train": name}}})
    assert "0.8000" in sentiment("compare")


def test_runs_on_another_dataset_than_that_of_params_yaml_have_their_seeds(
    client: MlflowClient, sentiment: Command
) -> None:
    a, b = (log_run(client, 480, 42, {"units": str(n)}, dataset="synthetic") for n in (4, 8))
    log_run(client, 486, 43, dataset="synthetic")
    printed = sentiment("compare", a, b)
    assert "To train another seed of B" in printed
    assert "To train another seed of A" not in printed


def test_the_command_that_trains_another_seed_of_a_side_is_shown(
    client: MlflowClient, sentiment: Command
) -> None:
    a = log_run(client, 480)
    b = log_run(client, 483, params={"units": "8"})
    log_run(client, 481, 43)
    printed = sentiment("compare", a, b)
    assert "The model of B: not shown to be better" in printed
    assert f"run {b[:8]}:\n  dvc exp run --temp -S seed=43\n" in printed
    assert "To train another seed of A" not in printed


def test_params_that_only_one_side_reads_are_left_out(
    client: MlflowClient, sentiment: Command
) -> None:
    a = log_run(client, 480)
    b = log_run(client, 483, params={"ngrams": "2"})
    assert "ngrams" not in sentiment("compare", a, b).partition("differs")[2]


def test_models_with_other_labels_are_not_compared(
    client: MlflowClient, sentiment: Command
) -> None:
    a = log_run(client, 480)
    columns = {"probability_negative": "probability_neg"}
    table = predictions(540).replace("negative", "neg").rename(columns=columns)
    b = log_run(client, 540, params={"units": "8"}, table=table)
    for runs in ((a, b), (b, a)):
        printed = sentiment("compare", *runs)
        assert "They predict different labels, so their models cannot be compared." in printed
        assert "is better" not in printed


def test_params_are_not_compared_over_different_test_sets(
    client: MlflowClient, sentiment: Command
) -> None:
    for seed in (42, 43):
        a = log_run(client, 480 + seed, seed)
        b = log_run(client, 440 + seed, seed, test_set_digest="4567")
    printed = sentiment("compare", a, b)
    assert "Their test sets differ, so their params cannot be compared." in printed
    assert "The params of B" not in printed


def test_two_seeds_are_not_compared_as_params(client: MlflowClient, sentiment: Command) -> None:
    a = log_run(client, 480, 42)
    b = log_run(client, 483, 43)
    assert "They differ by their seeds alone." in sentiment("compare", a, b)


def test_another_metric_is_compared(client: MlflowClient, sentiment: Command) -> None:
    a = log_run(client, 480)
    b = log_run(client, 540, params={"units": "8"})
    assert "F1" in sentiment("compare", "--metric", "f1").splitlines()[0]
    assert "F1: A 0.8000, B 0.9000" in sentiment("compare", "--metric", "f1", a, b)


def test_no_line_is_longer_than_80_columns(client: MlflowClient, sentiment: Command) -> None:
    long = {f"network.long_param{number}": "0.0001234" for number in range(5)}
    a = log_run(client, 480, params=long)
    b = log_run(client, 540, 43, processor="A processor with a very long name, 64 cores, 3 GHz")
    for printed in (sentiment("compare"), sentiment("compare", a, b)):
        assert max(map(len, printed.splitlines())) <= 80


def test_a_run_that_is_named_twice_is_refused(client: MlflowClient, sentiment: Command) -> None:
    a = log_run(client, 480)
    assert "is named twice" in sentiment.fail("compare", a, a[:8])
    assert "There is no champion of imdb-sentiment" in sentiment.fail("compare", a, "champion")


def test_a_store_without_evaluated_runs_is_one_message(sentiment: Command) -> None:
    assert "no finished run on imdb with an evaluation" in sentiment.fail("compare")
