"""Write measurements: every sample as CSV, and the medians as a table in Markdown."""

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

Series = Mapping[str, Sequence[float]]  # samples by the name of a measurement


def format_samples(samples: Sequence[float]) -> str:
    """Return the median, the minimum, the maximum and the number of samples."""
    median = statistics.median(samples)
    return f"{median:.4g} ({min(samples):.4g} to {max(samples):.4g}, n = {len(samples)})"


def render_series(series: Series) -> str:
    """Return a table of all series in Markdown."""
    rows = [
        {"series": name, "median (minimum to maximum)": format_samples(samples)}
        for name, samples in series.items()
    ]
    return pd.DataFrame(rows).to_markdown(index=False)


def write_csv(path: Path, series: Series) -> None:
    """Write every sample: series, number of the sample, value."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["series", "sample", "value"])
        for name, samples in series.items():
            writer.writerows([name, number, sample] for number, sample in enumerate(samples, 1))
