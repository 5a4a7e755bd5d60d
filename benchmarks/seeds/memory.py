"""`python -m benchmarks.seeds.memory`: compare the memory of LSTM, GRU and plain RNN, in hours.

Trains them on the dataset of the params, and on synthetic datasets with a cue at several distances
from the end, and compares them by accuracy and by gradient. Each training is a DVC experiment, so
that nothing is trained twice and an interrupted study is resumed. In MLflow, the runs are children
of one run. Writes tables and plots to docs/lstm/, and prints the tables.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.seeds import memory_results
from extras.common import parent_runs
from extras.common.parent_runs import PARENT
from extras.seeds import experiments
from extras.seeds.experiments import Experiment
from extras.seeds.group import ACCURACY, SeedRun
from sentiment import gradients
from sentiment.data.params import SyntheticParams
from sentiment.network.params import KERAS_FORGET_BIAS
from workflow import commands, files, provenance, tracking
from workflow.files import EVALUATE, TRAIN
from workflow.params import Params, load_params
from workflow.params_file import with_changes
from workflow.tracking import Run

COMMAND = "python -m benchmarks.seeds.memory"
STUDY_TAG = "memory.key"  # tag of the parent run: digest of the names of its trainings
FOLDER = Path("docs", "lstm")
SEEDS = 3  # trainings of each network on each dataset, from train.seed on
CUE_DISTANCES = (10, 25, 40, 60, 100)  # words from the cue to the end, one dataset for each
CHANGED_DISTANCES = (40, 100)  # the distances for networks with one change
FORGET_BIAS = 3.0  # changed train.forget_bias of the LSTM
CLIP_NORM = 1.0  # changed train.global_clipnorm of the LSTM and the plain RNN
OPINIONS = 2  # opinions in a review; the nearest cue leaves room for two
MIN_WORDS_BEFORE = 5  # words of a review before its cue
MAX_WORDS_BEFORE = 80
OTHER_TOKENS = 2  # the cue itself and the start token

LSTM = "LSTM"
GRU = "GRU"
PLAIN_RNN = "plain RNN"
AS_IN_KERAS: dict[str, Any] = {
    "train.forget_bias": KERAS_FORGET_BIAS,
    "train.global_clipnorm": 0.0,
    "train.recurrent_initializer": "orthogonal",
    "train.segment_length": 0,  # a network forgets everything at the end of a segment
}
CELLS: dict[str, dict[str, Any]] = {
    LSTM: {**AS_IN_KERAS, "train.cell": "lstm"},
    GRU: {**AS_IN_KERAS, "train.cell": "gru"},
    PLAIN_RNN: {**AS_IN_KERAS, "train.cell": "simple_rnn"},
}


class Case(NamedTuple):
    """A network on a dataset, to be trained with several seeds.

    Attributes:
        network: name of the cell.
        change: name of the change, or "".
        distance: words from the cue to the end of a synthetic review; 0 for the params' dataset.
        changes: the changed params, by dotted name.
    """

    network: str
    change: str
    distance: int
    changes: dict[str, Any]


def list_cases(params: Params) -> list[Case]:
    """Return all networks on all datasets. Networks with a change come last."""
    own = {} if params.fetch.dataset == "synthetic" else {0: dict[str, Any]()}
    datasets = {distance: synthetic_params(distance) for distance in CUE_DISTANCES} | own
    unchanged = [
        Case(network, "", distance, {**cell, **data})
        for network, cell in CELLS.items()
        for distance, data in datasets.items()
    ]
    return unchanged + [
        Case(network, change, distance, {**CELLS[network], **changes, **datasets[distance]})
        for (network, change), changes in changed_networks().items()
        for distance in CHANGED_DISTANCES
    ]


def synthetic_params(distance: int) -> dict[str, Any]:
    """Return the params of a synthetic dataset with its cue at a distance from the end."""
    return {
        "fetch.dataset": "synthetic",
        "fetch.synthetic.opinions": OPINIONS,
        "fetch.synthetic.cue_distance": distance,
        "fetch.synthetic.min_length": MIN_WORDS_BEFORE + 1 + distance,
        "fetch.synthetic.max_length": MAX_WORDS_BEFORE + 1 + distance,
        "pad.max_length": MAX_WORDS_BEFORE + OTHER_TOKENS + distance,
    }


def changed_networks() -> dict[tuple[str, str], Any]:
    """Return the changes of each network that has any, by network and name of the change."""
    bias = {f"forget bias {FORGET_BIAS:g}": {"train.forget_bias": FORGET_BIAS}}
    clipped = {f"clipped at {CLIP_NORM:g}": {"train.global_clipnorm": CLIP_NORM}}
    glorot = {"Glorot weights": {"train.recurrent_initializer": "glorot_uniform"}}
    identity = {"identity weights": {"train.recurrent_initializer": "identity"}}
    by_network = {LSTM: bias | clipped | glorot, PLAIN_RNN: clipped | glorot | identity}
    return {
        (network, name): change
        for network, changes in by_network.items()
        for name, change in changes.items()
    }


@commands.command(__doc__)
def main() -> None:
    params = load_params()
    parent, trainings, curves = train_all(params)
    own_dataset = trainings["cue_distance"].min()  # 0, unless the params' dataset is synthetic
    synthetic = params.fetch.synthetic
    references = best_accuracy(synthetic), accuracy_without_memory(synthetic)
    plots = {
        "accuracy": memory_results.draw_accuracy(trainings, *references),
        "changes": memory_results.draw_changes(trainings, *references),
        "gradients": memory_results.draw_gradients(curves[curves["cue_distance"] == own_dataset]),
    }
    with files.atomic_folder(FOLDER) as folder:
        trainings.to_csv(folder / "trainings.csv", index=False)
        curves.to_csv(folder / "gradients.csv", index=False)
        for name, plot in plots.items():
            plot.savefig(folder / f"{name}.png")
    tracking.log_text(parent, trainings.to_csv(index=False), "trainings.csv")
    tracking.log_text(parent, curves.to_csv(index=False), "gradients.csv")
    for name, plot in plots.items():
        tracking.log_figure(parent, plot, f"{name}.png")
    print(memory_results.accuracy_table(trainings).to_string())
    print(memory_results.reach_table(trainings).to_string())
    print(f"\nThe tables and plots are in {FOLDER} and in run {parent.run_id}.")


def best_accuracy(params: SyntheticParams) -> float:
    """Return the accuracy of the rule that made the labels."""
    return 1 - params.label_noise


def accuracy_without_memory(params: SyntheticParams) -> float:
    """Return the best accuracy of a model that knows all words of the opinions, but not the cue."""
    literal = 1 - params.ironic_share
    return literal * (1 - params.label_noise) + params.ironic_share * params.label_noise


def train_all(params: Params) -> tuple[Run, pd.DataFrame, pd.DataFrame]:
    """Train all cases that were not trained yet.

    Returns:
        The parent run; a row for each training, see `training_row`; the gradients of networks
        without a change, see `gradient_curve`.

    Raises:
        UserError: there is no git commit, the store cannot be used, or a training failed.
    """
    planned = plan_experiments(params)
    experiments.check_texts_are_tracked(params.fetch)
    parent = find_or_create_parent(experiment.name for _, experiment in planned)
    rows = []
    curves = []
    with tempfile.TemporaryDirectory() as scratch:
        planned_experiments = [experiment for _, experiment in planned]
        seed_runs = experiments.train_experiments(planned_experiments, Path(scratch), COMMAND)
        for (case, experiment), seed_run in zip(planned, seed_runs, strict=True):
            add_to_parent(parent, seed_run.run_id)
            data = Path(scratch) / experiment.name / files.DATA
            tables = [
                pd.read_csv(data / stage.name / "gradients.csv") for stage in (TRAIN, EVALUATE)
            ]
            rows.append(training_row(case, seed_run, *tables))
            if not case.change:
                curves.append(gradient_curve(case, *tables))
    return parent, pd.DataFrame(rows), pd.concat(curves)


def plan_experiments(params: Params) -> list[tuple[Case, Experiment]]:
    """Return the experiment of each case with each seed."""
    name = params.fetch.name
    return [
        (
            case,
            experiment._replace(
                label=f"{case_label(case, name)}, {experiment.label}",
                changes={**case.changes, **experiment.changes},
            ),
        )
        for case in list_cases(params)
        for experiment in experiments.seed_experiments(with_changes(params, case.changes), SEEDS)
    ]


def case_label(case: Case, dataset: str) -> str:
    """Return the name of a case in messages."""
    data = f"cue {case.distance} words before the end" if case.distance else dataset
    return ", ".join(filter(None, [case.network, case.change, data]))


def training_row(
    case: Case, seed_run: SeedRun, initial: pd.DataFrame, trained: pd.DataFrame
) -> dict[str, Any]:
    """Return a training as a row of the study's table.

    Args:
        case: the network and the dataset.
        seed_run: the run of the training.
        initial: the gradients before training, see `gradients.distance_table`.
        trained: the gradients after training.
    """
    return {
        "network": case.network,
        "change": case.change,
        "cue_distance": case.distance,
        "seed": seed_run.seed,
        "test_accuracy": seed_run.metrics[ACCURACY],
        "initial_gradient_reach": gradients.gradient_reach(initial),
        "gradient_reach": gradients.gradient_reach(trained),
        "run_id": seed_run.run_id,
    }


def gradient_curve(case: Case, initial: pd.DataFrame, trained: pd.DataFrame) -> pd.DataFrame:
    """Return the mean gradients of a training by distance, see `memory_results.draw_gradients`."""
    means = {"initial": initial, "trained": trained}
    columns = {name: table.set_index("distance")["mean"] for name, table in means.items()}
    named = {"network": case.network, "cue_distance": case.distance}
    return pd.DataFrame({**named, **columns}).reset_index()


def find_or_create_parent(trainings: Iterable[str]) -> Run:
    """Return the parent run of these trainings, given the names of their experiments."""
    key = provenance.short_digest_of({"trainings": list(trainings)})
    with parent_runs.parent_run_lock():
        return tracking.find_or_create_parent_run(STUDY_TAG, key, f"memory · {SEEDS} seeds")


def add_to_parent(parent: Run, run_id: str) -> None:
    """Make a run a child of the study's run, unless it belongs to a seed group."""
    import mlflow

    child = tracking.get_run(run_id)
    if PARENT not in mlflow.get_run(run_id).data.tags:
        tracking.log_tags(child, {PARENT: parent.run_id})


if __name__ == "__main__":
    commands.run_command(COMMAND, main)
