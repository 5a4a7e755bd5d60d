"""Show the outcome of a sweep: a table for readers, and Optuna's plots for the parent run."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from matplotlib import pyplot
from matplotlib.figure import Figure
from optuna.visualization import matplotlib as plots

from extras.sweep.confirmed_trials import ConfirmedTrial
from extras.sweep.space import format_values
from extras.sweep.study import ERROR, completed_trials, ended_trials

MIN_TRIALS = 4  # completed ones, before the importance of params says anything
PLOTS = {
    "history": plots.plot_optimization_history,
    "importances": plots.plot_param_importances,
    "values": plots.plot_slice,
}


def format_confirmed_trials(trials: Sequence[ConfirmedTrial], metric: str) -> str:
    """Return the confirmed trials as a table."""
    rows = [
        f"{trial.trial:>6}  {trial.search_value:>8.4f}  {trial.mean:>8.4f} "
        f"± {trial.standard_deviation:.4f}  {format_values(trial.values)}"
        for trial in trials
    ]
    return "\n".join(
        [
            f"The best by {metric}, and means with further seeds (± standard deviation):",
            f"{'trial':>6}  {'search':>8}  {'mean':>8}",
            *rows,
        ]
    )


def explain_no_result(searched: optuna.Study) -> str:
    """Return why no trial was confirmed."""
    errors = [
        trial.user_attrs[ERROR] for trial in ended_trials(searched) if ERROR in trial.user_attrs
    ]
    reason = f" The first trial that failed: {errors[0]}" if errors else ""
    return f"No trial was trained to its end and confirmed.{reason}"


def draw_plots(searched: optuna.Study, metric: str) -> dict[str, Figure]:
    """Return Optuna's plots of a study by name, if it has enough trials for them."""
    if len(completed_trials(searched)) < MIN_TRIALS:
        return {}
    # Optuna draws by pyplot, and its plots are experimental, which they say each time.
    with warnings.catch_warnings(), pyplot.rc_context({"backend": "agg"}):
        warnings.simplefilter("ignore")
        return {name: _figure(plot(searched, target_name=metric)) for name, plot in PLOTS.items()}


def _figure(drawn: Any) -> Figure:
    """Return the figure of one plot, or of one for each param. Let pyplot forget it."""
    axes = np.ravel(np.asarray(drawn))
    if len(axes) > 1:  # then the plots are narrow
        for axis in axes:
            axis.tick_params(axis="x", which="both", labelrotation=45)
    figure: Figure = axes[0].get_figure()
    pyplot.close(figure)
    return figure
