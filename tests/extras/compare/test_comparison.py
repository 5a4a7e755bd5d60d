"""What is said of two groups of runs is what their answers carry, and no more."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from extras.common.evaluated_runs import RunGroup, Training
from extras.common.significance import Interval
from extras.compare import (
    compare_page,
    compare_plots,
    compare_text,
    comparison,
    disagreement,
    verdict,
)
from extras.compare.comparable import Corpus, check_comparable
from extras.compare.compare_options import CompareOptions
from extras.compare.verdict import Difference
from sentiment.errors import UserError
from sentiment.text import Reviews
from workflow.params import Params
from workflow.registry.rule import Discordant

SETTINGS = CompareOptions(confidence=0.95, bootstrap_samples=500, bootstrap_seed=0, examples=3)
WORDS = ["", "good", "bad", "not", "don't", "knot"]
PARAMS = {
    "fetch.dataset": "imdb",
    "train.units": 4,
    "train.seed": 42,
    "evaluate.threshold": 0.5,
    "evaluate.length_buckets": [1, 2],
    "evaluate.calibration_bins": 5,
    "model.sha256": "model",
    "data.test.sha256": "reviews",
}


def training(run_id: str, probability: list[float], **changed: Any) -> Training:
    """Answers to as many reviews, of which the even ones are positive; `x__y` stands for `x.y`."""
    count = len(probability)
    positive = np.arange(count) % 2 == 0
    classes = np.array(["negative", "positive"])
    predictions = pd.DataFrame(
        {
            "review": np.arange(count),
            "actual": classes[positive.astype(int)],
            "predicted": classes[(np.array(probability, np.float32) > 0.5).astype(int)],
            "probability": np.array(probability, np.float32),
            "words": 1 + np.arange(count) % 3,
        }
    )
    history = pd.DataFrame(
        {"epoch": [1, 2], "accuracy": [0.6, 0.7], "val_accuracy": [0.5, 0.6], "seconds": [3.0, 1.0]}
    )
    params = PARAMS | {name.replace("__", "."): value for name, value in changed.items()}
    cost = {"parameters": 10, "milliseconds_per_review": 0.5}
    gradients = pd.DataFrame({"distance": [0, 1], "mean": [1.0, 0.1]})
    return Training(run_id, f"name {run_id}", params, predictions, history, gradients, cost)


def side(run_id: str, *trainings: Training) -> RunGroup:
    return RunGroup(run_id, run_id, f"name {run_id}", list(trainings))


def right(count: int, *wrong: int) -> list[float]:
    """Probabilities that are right but for some reviews."""
    sure = np.where(np.arange(count) % 2 == 0, 0.9, 0.1)
    return [1 - p if at in wrong else p for at, p in enumerate(sure.tolist())]


def corpus(count: int) -> Corpus:
    """Reviews of one to three words."""
    texts = [[1, 3, 2][: 1 + at % 3] for at in range(count)]
    return Corpus(Reviews.from_lists(texts, np.zeros(count, np.uint8)), WORDS)


def compared(a: RunGroup, b: RunGroup) -> comparison.Comparison:
    return comparison.compare(a, b, corpus(len(a.trainings[0].predictions)), SETTINGS)


A, B = side("a", training("a", right(40, *range(12)))), side("b", training("b", right(40, 39)))


def test_the_better_side_is_named_with_interval_and_p() -> None:
    found = compared(A, B)
    assert found.discordant == (1, 12)
    assert found.result.difference == pytest.approx(11 / 40)
    # by hand: 2 · (1 + 13) / 2^13
    assert found.result.p == pytest.approx(28 / 2**13)
    low, high = found.result.interval
    assert found.sentence == (
        f"B is better by 27.50 points (95 % interval {100 * low:.2f} to {100 * high:.2f}, "
        "McNemar's exact p = 0.0034)."
    )


def test_exchanged_sides_exchange_the_sentence() -> None:
    assert compared(B, A).sentence.startswith("A is better by 27.50 points (95 % interval ")
    assert compared(B, A).result.p == compared(A, B).result.p


def test_a_difference_that_may_be_chance_is_not_called_one() -> None:
    found = compared(side("a", training("a", right(40, 1, 2))), B)
    assert found.sentence.startswith("No difference shown: B − A is 2.50 points (95 % interval −")
    assert "p = 1)" in found.sentence


def test_the_level_is_one_less_the_confidence() -> None:
    result = Difference(0.8, 0.81, 0.01, Interval(0.001, 0.019), 0.03)
    counts = Discordant(10, 20)
    assert verdict.sentence(result, 0.95, "test", counts).startswith("B is better by 1.00")
    assert verdict.sentence(result, 0.99, "test", counts).startswith("No difference shown")


def test_the_same_reviews_right_is_no_difference() -> None:
    other = side("b", training("b", [0.5 + (p - 0.5) / 2 for p in right(40, *range(12))]))
    assert compared(A, other).sentence == "No difference: A and B get the same reviews right."


def test_interval_and_test_that_disagree_are_undecided() -> None:
    result = Difference(0.8, 0.81, 0.01, Interval(0.001, 0.019), 0.051)
    assert "undecided" in verdict.caveats(A, B, result, 0.95)[0]
    agreeing = Difference(0.8, 0.81, 0.01, Interval(0.001, 0.019), 0.04)
    assert "undecided" not in " ".join(verdict.caveats(A, B, agreeing, 0.95))


def test_two_single_trainings_say_nothing_about_seeds() -> None:
    assert "says nothing about other seeds" in " ".join(compared(A, B).caveats)


def test_the_same_run_is_refused() -> None:
    with pytest.raises(UserError, match="are the same run, a: there is nothing to compare"):
        check_comparable(A, A)


def test_a_training_is_not_held_against_its_own_group() -> None:
    group = side("group", *A.trainings, training("c", right(40)))
    with pytest.raises(UserError, match=r"share trainings \(a\)"):
        check_comparable(A, group)


def test_other_test_reviews_are_refused_with_the_reason() -> None:
    other = side("b", training("b", right(40), data__test__sha256="others"))
    with pytest.raises(UserError, match=r"a on imdb \(reviews\) and b on imdb \(others\)"):
        check_comparable(A, other)


def test_reviews_in_another_order_are_aligned() -> None:
    (before,) = B.trainings
    shuffled = before._replace(predictions=before.predictions.sample(frac=1, random_state=0))
    found = compared(A, side("b", shuffled))
    assert found.result == compared(A, B).result
    assert found.only_b == compared(A, B).only_b


def test_changed_params_are_told_and_digests_are_not() -> None:
    other = side("b", training("b", right(40), train__units=8, model__sha256="another"))
    (change,) = compared(A, other).changes
    assert (change.param, change.a, change.b) == ("train.units", "4", "8")


def test_many_params_of_a_section_that_one_side_does_not_have_are_one_row() -> None:
    many = {f"linear__{letter}": 1 for letter in "abcdef"}
    other = side("b", training("b", right(40), train__units=8, pad__padding="pre", **many))
    rows = compare_text.changed(compared(A, other))
    assert {*rows} == {
        ("train.units", "4", "8"),
        ("pad.padding", "–", "pre"),
        ("linear.*", "–", "6 params"),
    }
    assert len(compared(A, other).changes) == 8


def test_examples_are_what_one_side_gets_right_the_furthest_apart_first() -> None:
    unsure = right(40, *range(12))
    unsure[5], unsure[6] = 0.99, 0.45
    found = compared(side("a", training("a", unsure)), B)
    assert [each.review for each in found.only_a] == [39]
    assert found.only_b[0].review == 5
    assert 6 not in [each.review for each in found.only_b]
    assert len(found.only_b) == SETTINGS.examples
    assert found.only_b[0].text == "good not bad"
    assert found.only_b[0].probability_a == pytest.approx(0.99)


def test_groups_of_reviews_partition_them() -> None:
    found = compared(A, B)
    for kind in ("words", "negation"):
        assert sum(each.reviews for each in found.groups if each.kind == kind) == 40
    assert [each.name for each in found.groups] == [
        "1-1",
        "2-2",
        "over 2",
        "with negation",
        "without negation",
    ]


def test_a_group_of_reviews_has_the_metrics_of_its_reviews() -> None:
    short = next(each for each in compared(A, B).groups if each.name == "1-1")
    # every third review from the first on: 14, of which A misses 0, 3, 6, 9 and B misses 39
    assert short.reviews == 14
    assert short.result.a == pytest.approx(10 / 14)
    assert short.result.b == pytest.approx(13 / 14)
    assert short.result.p == pytest.approx(0.375)


@pytest.mark.parametrize(
    ("word", "is_one"), [("not", True), ("don't", True), ("knot", False), ("nothing", True)]
)
def test_negations_are_words_and_contractions(word: str, is_one: bool) -> None:
    assert disagreement.negates(word) == is_one


def test_negation_is_looked_for_in_each_review_alone() -> None:
    reviews = Reviews.from_lists([[1, 5], [], [4, 1], [3]], np.zeros(4, np.uint8))
    assert disagreement.has_negation(Corpus(reviews, WORDS)).tolist() == [False, False, True, True]


GROUP = side(
    "group",
    *(
        training(f"c{seed}", right(40, *range(wrong)), train__seed=seed)
        for seed, wrong in enumerate((2, 3, 4))
    ),
)


def test_of_a_group_the_unit_is_a_training() -> None:
    found = compared(GROUP, side("d", training("d", right(40)), training("e", right(40, 0))))
    accuracy = found.a.metrics["accuracy"]
    assert accuracy.mean == pytest.approx(37 / 40)
    assert accuracy.deviation == pytest.approx(1 / 40)
    assert (accuracy.low, accuracy.high) == (36 / 40, 38 / 40)
    assert accuracy.interval is None
    assert found.test == "Welch's t-test"
    assert found.discordant is None
    assert "points on average (" in found.sentence


def test_a_single_training_is_held_against_a_group_by_its_spread() -> None:
    found = compared(side("d", training("d", right(40, *range(12)))), GROUP)
    assert found.test == "Student's t-test"
    # by hand: 9 of 40, spread 1 of 40: t = 9 / √(1 + 1/3), two degrees of freedom
    assert found.result.p == pytest.approx(0.0161, abs=1e-4)
    assert found.b.runs == ["c0", "c1", "c2"]
    assert found.changes[0].b == "0, 1, 2"


def test_examples_of_a_group_go_by_the_mean_probability() -> None:
    others = side("d", training("d", right(40, 0)), training("e", right(40, 0, 1)))
    found = compared(others, side("f", training("f", right(40))))
    assert [each.review for each in found.only_b] == [0]


def test_metrics_of_single_trainings_and_groups_are_in_words() -> None:
    found = compared(A, GROUP)
    rows = {row.name: row for row in compare_text.metrics(found)}
    assert rows["accuracy"].a.startswith("0.7000 (95 % interval 0.5")
    assert rows["accuracy"].b == "mean 0.9250 (standard deviation 0.0250, range 0.9000 to 0.9500)"
    assert rows["Brier score"].a == "0.2500"
    assert rows["Brier score"].b.startswith("mean 0.0700 (standard deviation 0.0200, range 0.05")
    assert rows["seconds of training"].a == "4.0"
    assert rows["seconds per epoch, median"].a == "2.00"


def test_the_terminal_shows_a_text_in_one_line_without_control_characters() -> None:
    assert compare_text.line("a <b> & c\n\x1b[31m") == "a <b> & c �[31m"


def test_the_document_has_every_figure_as_json() -> None:
    document = compare_text.document(compared(A, B))
    assert document["result"]["interval"] == compared(A, B).result.interval
    assert document["curves"]["a"][0][1]["val_accuracy"] == 0.6
    assert document["gradients"]["b"][0][1]["mean"] == 0.1
    assert document["discordant"] == (1, 12)


def test_gradients_of_both_sides_are_laid_over_each_other(default_params: Params) -> None:
    drawn = compare_plots.draw(compared(A, GROUP), default_params.evaluate)
    axes = drawn["gradients"].axes[0]
    assert axes.get_yscale() == "log"
    assert len(axes.get_lines()) == 1 + len(GROUP.trainings)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["A", "B"]


def test_without_the_gradients_of_a_side_none_are_drawn(
    default_params: Params, tmp_path: Path
) -> None:
    older = side("older", training("older", right(40))._replace(gradients=None))
    found = compared(A, older)
    drawn = compare_plots.draw(found, default_params.evaluate)
    assert "gradients" not in drawn
    compare_page.write(tmp_path / "report", found, drawn)
    assert "Reliability" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_a_group_of_reviews_without_spread_is_drawn_as_a_point(default_params: Params) -> None:
    same = [training(f"g{seed}", right(40, 3)) for seed in range(2)]
    found = compared(side("g", *same), side("h", *(training(f"h{n}", right(40)) for n in (0, 1))))
    assert all(group.result.interval == (-1, 1) for group in found.groups)
    low, high = compare_plots.groups(found, default_params.evaluate).axes[0].get_xlim()
    assert -0.5 < low < high < 0.5
