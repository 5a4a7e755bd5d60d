"""The report of a sweep: how it went, which params mattered, and the confirmed trials."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import markupsafe
import numpy as np
import optuna
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.visualization import matplotlib as plots

from extras.common import page
from extras.common.significance import CONFIDENCE, mean_interval
from extras.sweep import space, study, sweep
from extras.sweep.sweep import Sweep
from workflow import files

TEMPLATE = Path(__file__).with_name("templates") / "sweep.html"
FEWEST = 4  # completed trials from which on importances say anything


def write(this_sweep: Sweep, folder: Path) -> None:
    """Write `report.html` into a folder, in the place of an earlier report."""
    first, _ = sweep.studies(this_sweep)
    content = page.render(
        TEMPLATE,
        sweep=this_sweep,
        winners=sweep.candidates(this_sweep),
        trials=study.slots(first),
        values_of=lambda trial: space.as_text(study.values_of(trial)),
        plots=plots_of(first),
        as_text=space.as_text,
        interval=lambda winner: mean_interval(np.array(winner.confirmed), CONFIDENCE),
    )
    with files.atomic_folder(folder) as partial_folder:
        (partial_folder / "report.html").write_text(content, encoding="utf-8")


def plots_of(searched: optuna.Study) -> list[markupsafe.Markup]:
    """Optuna's own plots of a study, once it has trials for them."""
    if len(study.completed(searched)) < FEWEST:
        return []
    return [
        page.svg(draw(plots.plot_optimization_history, searched), "Metric of each trial"),
        page.svg(draw(plots.plot_param_importances, searched), "Importance of each param"),
    ]


def draw(plot: Callable[[optuna.Study], Any], searched: optuna.Study) -> Figure:
    """A plot of Optuna's, which draws with pyplot, as a figure of its own."""
    with warnings.catch_warnings(), pyplot.rc_context({"backend": "agg"}):
        warnings.simplefilter("ignore")  # they are experimental, and say so each time
        figure: Figure = plot(searched).get_figure()
        pyplot.close(figure)
        figure.tight_layout()
    return figure
