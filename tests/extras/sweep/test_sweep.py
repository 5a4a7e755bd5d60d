"""Which trials are trained again, and which one wins."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import create_trial

from extras.sweep import study
from extras.sweep import sweep as sweeps
from extras.sweep.sweep import Sweep
from sentiment.data.params import describe_dataset
from sentiment.errors import UserError
from workflow import downloads, files
from workflow.about import AboutFetch, write_about
from workflow.files import FETCH
from workflow.params import Params
from workflow.params_file import with_changes

UNITS = optuna.distributions.IntDistribution(1, 100)

pytestmark = pytest.mark.usefixtures("url")


@pytest.fixture(params=["val_accuracy", "val_loss"])
def sweep(request: pytest.FixtureRequest, small_sweep: Sweep) -> Sweep:
    """One whose seeds begin at 7."""
    options = small_sweep.options.model_copy(update={"metric": request.param})
    params = with_changes(small_sweep.params, {"train.seed": 7})
    return small_sweep._replace(params=params, options=options)


def search(sweep: Sweep, values: dict[int, float]) -> optuna.Study:
    """Let trials have had these accuracies, by their units, or the losses to them."""
    first, _ = sweeps.studies(sweep)
    for units, accuracy in values.items():
        params, kinds = {"train.units": units}, {"train.units": UNITS}
        first.add_trial(
            create_trial(params=params, distributions=kinds, value=metric(sweep, accuracy))
        )
    return first


def confirm(sweep: Sweep, values: dict[tuple[int, int], float]) -> None:
    """Let them have had these with further seeds."""
    _, second = sweeps.studies(sweep)
    for (units, seed), accuracy in values.items():
        attrs = {study.VALUES: {"train.units": units, "train.seed": seed}}
        second.add_trial(create_trial(user_attrs=attrs, value=metric(sweep, accuracy)))


def metric(sweep: Sweep, accuracy: float) -> float:
    return accuracy if sweep.options.metric == "val_accuracy" else 1 - accuracy


def test_the_best_are_trained_again_under_the_next_seeds_and_the_best_mean_wins(
    sweep: Sweep,
) -> None:
    first = search(sweep, {1: 0.5, 2: 0.75, 3: 0.625})
    again = [[*values.values()] for values in sweeps.to_confirm(sweep, first)]
    assert again == [[2, 8], [2, 9], [3, 8], [3, 9]]
    confirm(sweep, {(2, 8): 0.5, (2, 9): 0.5625, (3, 8): 0.625})
    assert [only.values for only in sweeps.candidates(sweep)] == [{"train.units": 2}]
    assert not sweeps.is_finished(sweep)
    confirm(sweep, {(3, 9): 0.5625})
    assert sweeps.is_finished(sweep)
    winner, other = sweeps.candidates(sweep)
    assert (winner.values, other.values) == ({"train.units": 3}, {"train.units": 2})
    assert winner.mean == metric(sweep, 0.59375)
    assert winner.spread == pytest.approx(0.0441942)
    study.want(first, 4)
    assert not sweeps.is_finished(sweep)


@pytest.mark.usefixtures("root")
def test_texts_that_changed_or_joined_since_they_were_fetched_are_refused(
    small_params: Params,
) -> None:
    own, added = Path("own.csv"), Path("added.csv")
    for table in (own, added):
        table.write_text("text,label\n", encoding="utf-8")
    alone = with_changes(small_params, {"fetch.dataset": "table", "fetch.table.train": str(own)})
    joined = with_changes(alone, {"fetch.add": str(added)})
    with (
        downloads.local_added_tables(str(added)) as (_, digest),
        files.atomic_folder(FETCH) as folder,
    ):
        dataset = describe_dataset(joined.fetch, train_sha256=files.sha256(own), add_sha256=digest)
        write_about(folder, AboutFetch(dataset=dataset))
    assert sweeps.fetched_dataset(joined.fetch) == dataset
    refusal = "data/fetch has other reviews .*`dvc repro fetch`"
    with pytest.raises(UserError, match=refusal):
        sweeps.fetched_dataset(alone.fetch)
    for table in (own, added):
        before = table.read_bytes()
        table.write_text("text,label\nanother,1\n", encoding="utf-8")
        with pytest.raises(UserError, match=refusal):
            sweeps.fetched_dataset(joined.fetch)
        table.write_bytes(before)
