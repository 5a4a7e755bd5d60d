"""The champion changes by the rule in params.yaml or by a person's word, and tags say why."""

import getpass
import threading
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from stages import files, registry, store, tracking
from stages.command import UserError
from stages.params import Params, Promote
from stages.registry import Evaluated

DIGEST = "abc"


@pytest.fixture
def rule(default_params: Params) -> Promote:
    return default_params.promote


def evaluated(right: list[bool], **changes: object) -> Evaluated:
    index = pd.Index(range(len(right)), name="review")
    return Evaluated("imdb", DIGEST, pd.Series(right, index), 0.05)._replace(**changes)  # type: ignore[arg-type]


CHAMPION = evaluated([True] * 10 + [False] * 10)


def test_the_first_on_imdb_is_promoted(rule: Promote) -> None:
    assert registry.decide(CHAMPION, None, rule) == (True, "there was no champion")


def test_another_data_set_is_not(rule: Promote) -> None:
    candidate = evaluated([True] * 20, dataset="synthetic")
    decision = registry.decide(candidate, None, rule)
    assert decision == (False, "evaluated on synthetic, not on imdb")
    chosen = rule.model_copy(update={"dataset": "synthetic"})
    assert registry.decide(candidate, None, chosen).promoted


def test_better_beyond_chance_is_promoted(rule: Promote) -> None:
    decision = registry.decide(evaluated([True] * 16 + [False] * 4), CHAMPION, rule)
    assert decision.promoted
    assert decision.reason == (
        "better than the champion: McNemar's exact p = 0.031, +6 of 20 reviews"
    )


@pytest.mark.parametrize(
    "right",
    [
        [True] * 15 + [False] * 5,  # five more: p = 0.0625
        [True] * 10 + [False] * 10,
        [False] * 10 + [True] * 10,  # as many right, but others
        [False] * 20,  # far worse
    ],
)
def test_not_shown_to_be_better_is_not(right: list[bool], rule: Promote) -> None:
    decision = registry.decide(evaluated(right), CHAMPION, rule)
    assert not decision.promoted
    assert decision.reason.startswith("not shown to be better than the champion")


def test_the_level_is_the_rule_s(rule: Promote) -> None:
    candidate = evaluated([True] * 15 + [False] * 5)
    lenient = rule.model_copy(update={"alpha": 0.1})
    assert registry.decide(candidate, CHAMPION, lenient).promoted


def test_worse_calibrated_beyond_the_margin_is_not(rule: Promote) -> None:
    better = evaluated([True] * 20, calibration_error=0.0601)
    decision = registry.decide(better, CHAMPION, rule)
    assert decision == (False, "calibration error greater by 0.0101, more than 0.01")
    within = better._replace(calibration_error=0.0599)
    assert registry.decide(within, CHAMPION, rule).promoted


def test_other_reviews_are_not_compared(rule: Promote) -> None:
    candidate = evaluated([True] * 20, test_data="other")
    decision = registry.decide(candidate, CHAMPION, rule)
    assert decision == (False, "evaluated on other reviews than the champion")


def test_reviews_in_another_order_are_compared_one_by_one(rule: Promote) -> None:
    shuffled = CHAMPION._replace(right=CHAMPION.right[::-1])
    decision = registry.decide(shuffled, CHAMPION, rule)
    assert decision.reason.endswith("McNemar's exact p = 1, +0 of 20 reviews")


@pytest.fixture
def client(root: Path) -> Iterator[mlflow.MlflowClient]:
    assert root.is_dir()
    store.connect()
    yield mlflow.MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()


def write_evaluation(folder: Path, right: int, of: int = 20) -> Path:
    """A folder as `evaluate` writes one, with so many right answers."""
    folder.mkdir(parents=True)
    predicted = np.repeat(["positive", "negative"], [right, of - right])
    table = pd.DataFrame({"review": range(of), "actual": "positive", "predicted": predicted})
    table.to_csv(folder / "predictions.csv", index=False)
    files.write_json(folder / "metrics.json", {"dataset": "imdb", "test_ece": 0.05})
    files.write_about(folder, {registry.TEST_DATA: DIGEST})
    return folder


def registered(client: mlflow.MlflowClient, right: int) -> tuple[tracking.Run, Path]:
    """A finished run with an evaluation and a version, whose model is left out."""
    experiment = store.connect()
    info = client.create_run(experiment).info
    run = tracking.Run(info.run_id, "lstm", experiment, "")
    folder = write_evaluation(Path(f"data-{run.run_id}") / "evaluate", right)
    client.log_artifacts(run.run_id, str(folder), "evaluate")
    registry._ensure_registered(client)
    client.create_model_version(registry.NAME, f"runs:/{run.run_id}/evaluate", run.run_id)
    return run, folder


def champion_of(client: mlflow.MlflowClient) -> str | None:
    version = registry.champion(client)
    return version.run_id if version else None


def tags(client: mlflow.MlflowClient, run: tracking.Run) -> dict[str, str]:
    return dict(registry.versions(client, run.run_id)[0].tags)


def test_nobody_is_champion_at_first(client: mlflow.MlflowClient) -> None:
    assert registry.champion(client) is None
    registry._ensure_registered(client)
    assert registry.champion(client) is None


def test_the_alias_moves_by_the_rule_and_the_version_says_why(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    (first, a), (same, b), (better, c) = (registered(client, right) for right in (10, 10, 20))
    registry.promote_by_rule(first, a, rule)
    assert champion_of(client) == first.run_id
    registry.promote_by_rule(same, b, rule)
    assert champion_of(client) == first.run_id
    assert tags(client, same)["promote.decision"] == "not promoted"
    assert "not shown to be better" in tags(client, same)["promote.reason"]
    registry.promote_by_rule(better, c, rule)
    assert champion_of(client) == better.run_id
    said = tags(client, better)
    assert said["promote.decision"] == "champion"
    assert said["promote.by"] == "rule"
    assert said["promote.reason"].startswith("better than the champion")
    assert said["promote.replaced"] == "1"


def test_a_person_overrules_and_that_is_recorded(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    (first, a), (worse, b) = (registered(client, right) for right in (20, 10))
    registry.promote_by_rule(first, a, rule)
    assert "is champion now" in registry.promote(worse.run_id)
    assert champion_of(client) == worse.run_id
    assert tags(client, worse)["promote.by"] == getpass.getuser()
    assert tags(client, worse)["promote.reason"] == "promoted by hand"
    assert "champion already" in registry.promote(worse.run_id)
    assert registry.demote().endswith("version 1 is champion again.")
    assert champion_of(client) == first.run_id
    assert tags(client, worse)["promote.decision"] == "demoted"
    registry.promote_by_rule(worse, b, rule)
    assert tags(client, worse)["promote.decision"] == "demoted"


def test_the_only_champion_leaves_none_behind(client: mlflow.MlflowClient, rule: Promote) -> None:
    run, folder = registered(client, 10)
    registry.promote_by_rule(run, folder, rule)
    assert registry.demote().endswith("there is no champion now.")
    assert champion_of(client) is None
    with pytest.raises(UserError, match="There is no champion"):
        registry.demote()


def test_a_run_without_a_version_cannot_be_promoted(client: mlflow.MlflowClient) -> None:
    registry._ensure_registered(client)
    with pytest.raises(UserError, match="Run nobody has no version of imdb-sentiment"):
        registry.promote("nobody")


def test_two_promotions_at_once_leave_the_better_one(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    """Each is better than nothing; whichever is second is held against the first."""
    (good, a), (best, b) = (registered(client, right) for right in (10, 20))
    threads = [
        threading.Thread(target=registry.promote_by_rule, args=(run, folder, rule))
        for run, folder in ((good, a), (best, b))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert champion_of(client) == best.run_id
    holders = [v for v in client.search_model_versions("") if "champion" in v.aliases]
    assert len(holders) <= 1


def test_a_champion_whose_evaluation_was_changed_is_one_message(
    client: mlflow.MlflowClient, rule: Promote
) -> None:
    (first, a), (second, b) = (registered(client, right) for right in (10, 20))
    registry.promote_by_rule(first, a, rule)
    stored = Path("mlruns", first.experiment_id, first.run_id, "artifacts", "evaluate")
    with (stored / "predictions.csv").open("a", encoding="utf-8") as file:
        file.write("20,positive,positive\n")
    with pytest.raises(UserError, match=r"predictions.csv is not as the stage wrote it"):
        registry.promote_by_rule(second, b, rule)
    assert champion_of(client) == first.run_id
