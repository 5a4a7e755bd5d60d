"""The study of `benchmarks.seeds.memory` as a part of a page: tables, plots, and what they show."""

from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from extras.common import significance
from extras.common.significance import CONFIDENCE
from sentiment.data.params import SyntheticParams
from sentiment.errors import UserError
from sentiment.evaluation.plots import NEUTRAL, new_axes
from workflow import files
from workflow.params import Params

BEGIN = "<!-- written by `python -m benchmarks.seeds.memory` from here -->"
END = "<!-- to here -->"
COLORS = ("tab:blue", "tab:green", "tab:orange", "tab:purple", "tab:red")
ALTERNATIVES = {
    "accuracy": "Test accuracy by distance of the cue, for each cell",
    "changes": "Test accuracy of the LSTM and the plain RNN with one change each",
    "gradients": "Norm of the gradient by distance, for each cell, before and after training",
}


class Study(NamedTuple):
    """What was trained, and what came of it.

    Attributes:
        params: those that all trainings share, but for the changes that are studied.
        trainings: a row for each: `network`, `change` (may be empty), `cue_distance` (0: the data
            set of the params), `seed`, `test_accuracy`, `initial_gradient_reach`,
            `gradient_reach`, `run_id`.
        curves: gradients of networks without a change: `network`, `cue_distance`, `distance` from
            the last word, and the mean norms `initial` and `trained`.
    """

    params: Params
    trainings: pd.DataFrame
    curves: pd.DataFrame


def require_place(page: Path) -> None:
    """Raise UserError where a page has no part for the study: hours later it would be late."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if text.count(BEGIN) != 1 or END not in text.partition(BEGIN)[2]:
        raise UserError(
            f"{page} has no part for the study: add the lines {BEGIN} and {END}, or bring the "
            f"page back with `git checkout {page}`."
        )


def write(study: Study, folder: Path, page: Path) -> None:
    """Write the table of trainings and the plots to a folder, and the study's part of the page."""
    with files.atomic_folder(folder) as partial:
        study.trainings.to_csv(partial / "trainings.csv", index=False)
        for name, plot in draw(study).items():
            plot.savefig(partial / f"{name}.png")
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    part = "\n\n".join([BEGIN, *parts(study, folder.relative_to(page.parent)), END])
    files.write_text_atomically(page, before + part + rest.partition(END)[2])


def parts(study: Study, folder: Path) -> Iterator[str]:
    """Paragraphs, tables and plots, in order.

    Args:
        study: what they show.
        folder: where the plots are, seen from the page.
    """
    yield from (cells_table(study), cells_found(study), image("accuracy", folder))
    if changed_at(study):
        yield from (changes_table(study), changes_found(study), image("changes", folder))
    yield from (reach_table(study), image("gradients", folder))


def image(name: str, folder: Path) -> str:
    """A plot, in Markdown."""
    return f"![{ALTERNATIVES[name]}]({(folder / name).as_posix()}.png)"


def accuracies(study: Study, network: str, change: str, distance: int) -> NDArray[np.float64]:
    """The test accuracy with each seed; empty for what was not trained."""
    table = study.trainings
    chosen = (table["network"] == network) & (table["change"] == change)
    chosen &= table["cue_distance"] == distance
    return table.loc[chosen, "test_accuracy"].to_numpy(np.float64)


def with_interval(values: NDArray[np.float64], confidence: float) -> str:
    """A mean and half of its interval's width."""
    low, high = significance.mean_interval(values, confidence)
    return f"{values.mean():.3f} ± {(high - low) / 2:.3f}"


def distances(study: Study) -> list[int]:
    """The cue distances of the generated sets, rising."""
    return sorted(set(study.trainings["cue_distance"]) - {0})


def changed_at(study: Study) -> list[int]:
    """Those of them on which networks with a change were trained, rising."""
    table = study.trainings
    return sorted(set(table.loc[table["change"] != "", "cue_distance"]))


def networks(study: Study) -> list[str]:
    """The networks, in the order of their training."""
    return list(study.trainings["network"].unique())


def changes(study: Study) -> list[tuple[str, str]]:
    """Each network as it is, followed by its changes; none for a network without any."""
    pairs = study.trainings[["network", "change"]].drop_duplicates()
    changed = set(pairs.loc[pairs["change"] != "", "network"])
    ordered = pairs[pairs["network"].isin(changed)].sort_values("network", kind="stable")
    return [(str(network), str(change)) for network, change in ordered.to_numpy()]


def own(study: Study) -> list[int]:
    """The column of the params' data set, if that was trained on."""
    return [0] if (study.trainings["cue_distance"] == 0).any() else []


def shown(study: Study) -> int:
    """The cue distance, or 0, of the data set whose gradients are shown: the params' if it can."""
    return 0 if own(study) else distances(study)[-1]


def header(cells: list[str]) -> list[str]:
    """The first two lines of a table."""
    return [f"| {' | '.join(cells)} |", f"| {' | '.join(['---'] * len(cells))} |"]


def rows(study: Study, pairs: list[tuple[str, str]], columns: list[int]) -> Iterator[str]:
    """A line for each network and change: its accuracies at these distances."""
    for network, change in pairs:
        samples = [accuracies(study, network, change, distance) for distance in columns]
        cells = [with_interval(values, CONFIDENCE) for values in samples]
        yield f"| {', '.join(filter(None, [network, change]))} | {' | '.join(cells)} |"


def cells_table(study: Study) -> str:
    """Mean test accuracy of each cell at each distance, and on the params' data set."""
    columns = [*distances(study), *own(study)]
    named = [f"cue {x}" if x else study.params.fetch.name for x in columns]
    pairs = [(network, "") for network in networks(study)]
    return "\n".join([*header(["network", *named]), *rows(study, pairs, columns)])


def changes_table(study: Study) -> str:
    """Mean test accuracy with each change."""
    columns = changed_at(study)
    named = [f"cue {distance}" for distance in columns]
    return "\n".join([*header(["network", *named]), *rows(study, changes(study), columns)])


def halfway(study: Study) -> float:
    """The accuracy above which a network uses the cue for more than half of what it is worth."""
    synthetic = study.params.fetch.synthetic
    return (accuracy_without_memory(synthetic) + best_accuracy(synthetic)) / 2


def best_accuracy(params: SyntheticParams) -> float:
    """Accuracy of the rule itself, which no model can exceed but by luck."""
    return 1 - params.label_noise


def accuracy_without_memory(params: SyntheticParams) -> float:
    """Best accuracy of a model that knows every word of the opinions but not the cue."""
    sincere, noise = 1 - params.ironic_share, params.label_noise
    return sincere * (1 - noise) + (1 - sincere) * noise


def learned(study: Study, network: str) -> list[int]:
    """The distances, from the nearest on, at which a network uses the cue with every seed."""
    least = halfway(study)
    return list(
        takewhile(lambda x: (accuracies(study, network, "", x) > least).all(), distances(study))
    )


def cells_found(study: Study) -> str:
    """The sentence on the cells."""
    listed = [f"{network}: {farthest(study, network)}" for network in networks(study)]
    seeds = study.trainings["seed"].nunique()
    return (
        f"**Found**: after {study.params.train.epochs} epochs, the furthest cue used with each of "
        f"{seeds} seeds (accuracy above {halfway(study):.3f}, halfway between the best without the "
        f"cue and the rule itself): {'; '.join(listed)}."
    )


def farthest(study: Study, network: str) -> str:
    """The greatest distance, of those tried, up to which a network uses the cue."""
    used = learned(study, network)
    return f"{used[-1]} words" if used else "none"


def differences(study: Study) -> Iterator[str]:
    """What each change did that is more than chance, by Welch's t-test."""
    confidence = CONFIDENCE
    for network, change in changes(study):
        for distance in changed_at(study) if change else []:
            before = accuracies(study, network, "", distance)
            after = accuracies(study, network, change, distance)
            ends, p = significance.mean_difference(before, after, confidence)
            if p < 1 - confidence:
                points = [100 * x for x in (after.mean() - before.mean(), *ends)]
                yield (
                    f"{network}, {change}, at {distance} words: {points[0]:+.1f} points "
                    f"({points[1]:+.1f} to {points[2]:+.1f})"
                )


def changes_found(study: Study) -> str:
    """The sentence on the changes."""
    confidence = 100 * CONFIDENCE
    tests = sum(bool(change) for _, change in changes(study)) * len(changed_at(study))
    effects = list(differences(study)) or ["none of the changes made a difference beyond chance"]
    return (
        f"**Found**: {'; '.join(effects)}. (Welch's t-test, {confidence:g} % intervals; {tests} "
        "tests, none corrected for the others.)"
    )


def reach_table(study: Study) -> str:
    """How far the gradient reaches before and after training, on the data set of the plot."""
    table = study.trainings[study.trainings["change"] == ""]
    columns = ["initial_gradient_reach", "gradient_reach"]
    lines = []
    for network in networks(study):
        chosen = table[(table["network"] == network) & (table["cue_distance"] == shown(study))]
        cells = [f"{x.mean():.0f} ({x.min()} to {x.max()})" for _, x in chosen[columns].items()]
        lines.append(f"| {network} | {' | '.join(cells)} |")
    data = f"cue {distance}" if (distance := shown(study)) else study.params.fetch.name
    head = header([f"`gradient_reach` on {data}, in words", "before training", "trained"])
    return "\n".join([*head, *lines])


def draw(study: Study) -> dict[str, Figure]:
    """All plots, by name."""
    plots = {"accuracy": accuracy_plot(study), "gradients": gradients_plot(study)}
    if changed_at(study):
        plots["changes"] = changes_plot(study)
    return plots


def accuracy_plot(study: Study) -> Figure:
    """Draw each cell's accuracy by distance: the mean, and each training."""
    title = "What a cue is worth, by its distance"
    figure, axes = new_axes(
        study.params.evaluate, title, "Words from the cue to the end", "Test accuracy"
    )
    x = np.array(distances(study))
    for color, network in zip(COLORS, networks(study), strict=False):
        values = np.stack([accuracies(study, network, "", distance) for distance in x])
        axes.plot(x, values.mean(axis=1), color=color, label=network)
        axes.plot(x, values, "o", color=color, markersize=4, alpha=0.6)
    references(study, axes.axhline)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower left")
    return figure


def references(study: Study, line: Callable[..., object]) -> None:
    """Draw the accuracies that can be reached with the cue and without it."""
    synthetic = study.params.fetch.synthetic
    line(best_accuracy(synthetic), linestyle=":", color=NEUTRAL, label="the rule itself")
    without = accuracy_without_memory(synthetic)
    line(without, linestyle="--", color=NEUTRAL, label="best without the cue")


def changes_plot(study: Study) -> Figure:
    """Draw the accuracy of each training with a change, and of those without."""
    figure, axes = new_axes(study.params.evaluate, "With one change", "Test accuracy", "")
    pairs = changes(study)[::-1]  # the first on top
    for color, distance in zip(COLORS, changed_at(study), strict=False):
        for height, (network, change) in enumerate(pairs):
            values = accuracies(study, network, change, distance)
            label = f"cue {distance}" if height == 0 else None
            axes.plot(
                values, np.full(len(values), height), "o", color=color, label=label, alpha=0.6
            )
    references(study, axes.axvline)
    axes.set_yticks(range(len(pairs)), [", ".join(filter(None, pair)) for pair in pairs])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def gradients_plot(study: Study) -> Figure:
    """Draw each cell's gradient by distance, mean over the seeds, before and after training."""
    title = "How far back the gradient reaches"
    figure, axes = new_axes(
        study.params.evaluate, title, "Words before the last", "Norm of the gradient"
    )
    curves = study.curves[study.curves["cue_distance"] == shown(study)]
    means = curves.groupby(["network", "distance"])[["initial", "trained"]].mean()
    for color, network in zip(COLORS, networks(study), strict=False):
        table = means.loc[network]
        axes.plot(table.index, table["trained"], color=color, label=f"{network}, trained")
        axes.plot(table.index, table["initial"], "--", color=color, label="before training")
    axes.set_yscale("log")
    axes.legend()
    return figure
