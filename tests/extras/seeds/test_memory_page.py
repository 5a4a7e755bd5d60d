"""The study of `benchmarks.seeds.memory` as a part of a page."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.seeds import memory_page
from benchmarks.seeds.memory_page import BEGIN, END, Study
from sentiment.errors import UserError
from workflow.params import Params

ACCURACIES = {
    ("LSTM", "", 10): [0.97, 0.98, 0.975],
    ("LSTM", "", 40): [0.79, 0.78, 0.97],
    ("LSTM", "", 0): [0.84, 0.85, 0.86],
    ("plain RNN", "", 10): [0.97, 0.97, 0.97],
    ("plain RNN", "", 40): [0.50, 0.51, 0.52],
    ("plain RNN", "", 0): [0.70, 0.80, 0.75],
    ("LSTM", "forget bias 3", 40): [0.97, 0.97, 0.97],
    ("plain RNN", "clipped at 1", 40): [0.70, 0.71, 0.72],
}


@pytest.fixture
def study(default_params: Params) -> Study:
    """Two networks at two distances and on IMDB, one change of each, under three seeds."""
    trainings = pd.DataFrame(
        [(*case, seed, x) for case, values in ACCURACIES.items() for seed, x in enumerate(values)],
        columns=["network", "change", "cue_distance", "seed", "test_accuracy"],
    )
    reach = {"initial_gradient_reach": 20 + trainings["seed"]}
    trainings = trainings.assign(**reach, gradient_reach=100 + 10 * trainings["seed"])
    distance = np.arange(5)
    curve = {"cue_distance": 0, "distance": distance, "initial": 0.5**distance}
    curves = [
        pd.DataFrame({"network": network, **curve, "trained": (1 + seed) * 0.9**distance})
        for network in ("LSTM", "plain RNN")
        for seed in range(3)
    ]
    return Study(default_params, trainings, pd.concat(curves))


def test_the_cells_have_mean_and_interval_and_the_furthest_cue_that_every_seed_uses(
    study: Study,
) -> None:
    lines = memory_page.cells_table(study).splitlines()
    assert lines[0] == "| network | cue 10 | cue 40 | imdb |"
    # Student's t with 2 degrees of freedom: 4.303 · 0.005 / √3 and 4.303 · 0.01 / √3
    assert lines[2].startswith("| LSTM | 0.975 ± 0.012 | 0.847 ± ")
    assert lines[2].endswith(" | 0.850 ± 0.025 |")
    assert "above 0.884" in memory_page.cells_found(study)
    assert ": LSTM: 10 words; plain RNN: 10 words." in memory_page.cells_found(study)
    study.trainings.loc[study.trainings["network"] == "LSTM", "test_accuracy"] = 0.5
    assert ": LSTM: none; " in memory_page.cells_found(study)


def test_of_the_changes_only_differences_beyond_chance_are_found(study: Study) -> None:
    lines = memory_page.changes_table(study).splitlines()
    names = ["LSTM", "LSTM, forget bias 3", "plain RNN", "plain RNN, clipped at 1"]
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in names]
    text = memory_page.changes_found(study)
    assert "plain RNN, clipped at 1, at 40 words: +20.0 points (+17.7 to +22.3)" in text
    assert "forget bias" not in text
    assert "2 tests" in text
    study.trainings["test_accuracy"] = 0.5
    assert "none of the changes made a difference beyond chance" in memory_page.changes_found(study)


def test_the_reach_is_that_on_the_data_set_of_the_params_or_at_the_greatest_distance(
    study: Study,
) -> None:
    lines = memory_page.reach_table(study).splitlines()
    assert lines[0].startswith("| `gradient_reach` on imdb, in words |")
    assert lines[2] == "| LSTM | 21 (20 to 22) | 110 (100 to 120) |"
    study = study._replace(trainings=study.trainings.query("cue_distance != 0"))
    assert memory_page.reach_table(study).startswith("| `gradient_reach` on cue 40, in words |")
    assert "imdb" not in memory_page.cells_table(study)


def test_the_plots_show_what_was_trained(study: Study) -> None:
    lines = {
        (name, str(line.get_label())): line.get_ydata()
        for name, plot in memory_page.draw(study).items()
        for line in plot.axes[0].get_lines()
    }
    assert lines["accuracy", "LSTM"] == pytest.approx([0.975, 0.8466667])
    assert lines["accuracy", "best without the cue"] == pytest.approx([0.788, 0.788])
    assert lines["gradients", "plain RNN, trained"] == pytest.approx(2 * 0.9 ** np.arange(5))


def test_only_the_study_s_part_of_a_page_is_written(study: Study, tmp_path: Path) -> None:
    page, folder = tmp_path / "page.md", tmp_path / "memory"
    page.write_text(f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", encoding="utf-8")
    written = {"accuracy.png", "changes.png", "gradients.png", "trainings.csv"}
    memory_page.write(study, folder, page)
    assert {file.name for file in folder.iterdir()} == written
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"Before.\n\n{BEGIN}\n\n| network |")
    assert text.endswith(f"\n\n{END}\n\nAfter.\n")
    assert "old" not in text
    assert "](memory/changes.png)" in text
    # a study without changes has no part about them
    study = study._replace(trainings=study.trainings.query("change == ''"))
    memory_page.write(study, folder, page)
    assert {file.name for file in folder.iterdir()} == written - {"changes.png"}
    assert "changes" not in page.read_text(encoding="utf-8")
    for broken in ("", f"{END}\n{BEGIN}", BEGIN * 2):
        page.write_text(broken, encoding="utf-8")
        with pytest.raises(UserError, match="has no part for the study"):
            memory_page.require_place(page)
    with pytest.raises(UserError, match="has no part for the study"):
        memory_page.require_place(tmp_path / "missing.md")


def test_without_memory_only_sincere_reviews_are_answered_rightly(default_params: Params) -> None:
    shares = {"ironic_share": 0.2, "label_noise": 0.1}
    settings = default_params.fetch.synthetic.model_copy(update=shares)
    assert memory_page.best_accuracy(settings) == 0.9
    assert memory_page.accuracy_without_memory(settings) == pytest.approx(0.74)
