"""The report of a sweep: how it went, which params mattered, and the confirmed trials."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from extras.common import page
from extras.common.significance import mean_interval
from extras.sweep import space, study, sweep
from extras.sweep.sweep import Candidate, Sweep
from extras.sweep.trial import CORES, HISTORY
from workflow import files

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

TEMPLATE = Path(__file__).with_name("templates") / "sweep.html"
CONFIDENCE = 0.95  # of an interval
FEWEST = 4  # completed trials from which on importances say anything
SIZE = (7.0, 4.5)  # inches of a plot
HISTORY_PLOT = "Metric of each trial, and the best so far"
PARALLEL_PLOT = "Values of all trials side by side, by their metric"
IMPORTANCES_PLOT = "Importance of each searched param"


class Row(NamedTuple):
    """A trial as a table shows it."""

    number: int
    state: str
    value: str
    epochs: int
    seconds: float
    values: dict[str, Any]


def write(this_sweep: Sweep, winners: list[Candidate], folder: Path) -> None:
    """Write `report.html` into a folder, in the place of an earlier report."""
    first, second = sweep.studies(this_sweep)
    trials = [row(trial) for searched in (first, second) for trial in study.slots(searched)]
    plots = [page.svg(plot, alternative) for alternative, plot in draw(first).items()]
    content = page.render(
        TEMPLATE,
        sweep=this_sweep,
        winners=winners,
        lead=sweep.about_lead(this_sweep, winners) if winners else None,
        searched=trials[: len(study.slots(first))],
        hours=core_hours([*study.slots(first), *study.slots(second)]),
        plots=plots,
        as_text=space.as_text,
        interval=lambda winner: mean_interval(np.array(winner.confirmed), CONFIDENCE),
    )
    with files.replaced(folder) as partial:
        (partial / "report.html").write_text(content, encoding="utf-8")


def core_hours(trials: "Sequence[FrozenTrial]") -> float:
    """What the trainings took, each on as many cores as it had threads."""
    taken = (
        epoch["seconds"] * trial.user_attrs.get(CORES, 1)
        for trial in trials
        for epoch in trial.user_attrs.get(HISTORY, [])
    )
    return float(sum(taken)) / 3600


def row(trial: "FrozenTrial") -> Row:
    """A trial as a table shows it."""
    rows, failed = trial.user_attrs.get(HISTORY, []), trial.state.name == "FAIL"
    value = f"{trial.value:.4f}" if trial.value is not None else ""
    return Row(
        trial.number,
        str((failed and trial.user_attrs.get(study.ERROR)) or trial.state.name.lower()),
        value,
        len(rows),
        sum(epoch["seconds"] for epoch in rows),
        study.values_of(trial),
    )


def draw(searched: "optuna.Study") -> dict[str, Figure]:
    """Optuna's own plots of a study, as far as it has trials for them, by what they show."""
    import optuna
    from optuna.visualization import matplotlib as plots

    trials = study.completed(searched)
    if not trials:
        return {}
    wanted: dict[str, Callable[[optuna.Study], Any]] = {
        HISTORY_PLOT: plots.plot_optimization_history,
        PARALLEL_PLOT: plots.plot_parallel_coordinate,
    }
    if len(trials) >= FEWEST:
        wanted[IMPORTANCES_PLOT] = plots.plot_param_importances
    for name in trials[0].params:
        wanted[f"Metric by {name}"] = partial(plots.plot_slice, params=[name])
    return {alternative: drawn(plot, searched) for alternative, plot in wanted.items()}


def drawn(plot: "Callable[[optuna.Study], Any]", searched: "optuna.Study") -> Figure:
    """A plot of Optuna's, which draws with pyplot, as a figure of its own."""
    with warnings.catch_warnings(), pyplot.rc_context({"backend": "agg"}):
        warnings.simplefilter("ignore")  # they are experimental, and say so each time
        figure: Figure = next(flat(plot(searched))).get_figure()
        pyplot.close(figure)
        figure.set_size_inches(*SIZE)
        figure.tight_layout()
    return figure


def flat(axes: Any) -> Iterator[Any]:
    """The axes of a plot, of which Optuna returns one or an array."""
    yield from (axes.flat if hasattr(axes, "flat") else [axes])
