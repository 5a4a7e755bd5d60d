"""The report of a sweep: how it went, which params mattered, and the confirmed trials."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from extras.common import page
from extras.common.significance import CONFIDENCE, mean_interval
from extras.sweep import space, study, sweep
from extras.sweep.sweep import Candidate, Sweep
from extras.sweep.trial import CORES, HISTORY
from workflow import files

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

TEMPLATE = Path(__file__).with_name("templates") / "sweep.html"
FEWEST = 4  # completed trials from which on importances say anything
SIZE = (7.0, 4.5)  # inches of a plot
Plot = Callable[["optuna.Study"], Any]


def write(this_sweep: Sweep, winners: list[Candidate], folder: Path) -> None:
    """Write `report.html` into a folder, in the place of an earlier report."""
    first, second = sweep.studies(this_sweep)
    trials = study.slots(first)
    content = page.render(
        TEMPLATE,
        sweep=this_sweep,
        winners=winners,
        lead=sweep.about_lead(this_sweep, winners) if winners else None,
        searched=[row(trial) for trial in trials],
        hours=core_hours([*trials, *study.slots(second)]),
        plots=[page.svg(draw(plot, first), title) for title, plot in plots_of(first).items()],
        as_text=space.as_text,
        interval=lambda winner: mean_interval(np.array(winner.confirmed), CONFIDENCE),
    )
    with files.replaced(folder) as partial_folder:
        (partial_folder / "report.html").write_text(content, encoding="utf-8")


def core_hours(trials: "Sequence[FrozenTrial]") -> float:
    """What the trainings took, each on as many cores as it had threads."""
    return float(sum(seconds(trial) * trial.user_attrs.get(CORES, 1) for trial in trials)) / 3600


def seconds(trial: "FrozenTrial") -> float:
    return float(sum(epoch["seconds"] for epoch in trial.user_attrs.get(HISTORY, [])))


def row(trial: "FrozenTrial") -> dict[str, Any]:
    """A trial as a table shows it."""
    failed = trial.state.name == "FAIL"
    return {
        "number": trial.number,
        "state": (failed and trial.user_attrs.get(study.ERROR)) or trial.state.name.lower(),
        "value": "" if trial.value is None else f"{trial.value:.4f}",
        "epochs": len(trial.user_attrs.get(HISTORY, [])),
        "seconds": seconds(trial),
        "params": study.values_of(trial),
    }


def plots_of(searched: "optuna.Study") -> dict[str, Plot]:
    """Optuna's own plots of a study, as far as it has trials for them, by what they show."""
    from optuna.visualization import matplotlib as plots

    trials = study.completed(searched)
    if not trials:
        return {}
    wanted: dict[str, Plot] = {
        "Metric of each trial, and the best so far": plots.plot_optimization_history,
        "Values of all trials side by side, by their metric": plots.plot_parallel_coordinate,
    }
    if len(trials) >= FEWEST:
        wanted["Importance of each searched param"] = plots.plot_param_importances
    for name in trials[0].params:
        wanted[f"Metric by {name}"] = partial(plots.plot_slice, params=[name])
    return wanted


def draw(plot: Plot, searched: "optuna.Study") -> Figure:
    """A plot of Optuna's, which draws with pyplot, as a figure of its own."""
    with warnings.catch_warnings(), pyplot.rc_context({"backend": "agg"}):
        warnings.simplefilter("ignore")  # they are experimental, and say so each time
        figure: Figure = plot(searched).get_figure()
        pyplot.close(figure)
        figure.set_size_inches(*SIZE)
        figure.tight_layout()
    return figure
