"""`sentiment doubts`: the labels of one's own table that are most likely wrong."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentiment.errors import UserError
from sentiment.project.files.params_file import load_params
from sentiment.project.files.paths import Project
from sentiment.terminal import shorten, show

if TYPE_CHECKING:
    import pandas as pd

    from sentiment.doubts.doubts import Fold

DEFAULT_FILE = Path("data") / "doubts.csv"
SHOWN = 10  # in the terminal
LABEL_WIDTH = 14
TEXT_WIDTH = 32  # so that a line has at most 80 columns


@click.command()
@click.option("--count", type=click.IntRange(min=1), default=100, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default=str(DEFAULT_FILE),
    help="New file of the list, .csv.",
)
@click.pass_obj
def command(project: Project, count: int, out: Path | None) -> None:
    """List the labels of your table that are most likely wrong.

    They are those that a cross-validated model doubts most. The table is that of the training set
    in params.yaml. A doubtful label is often right: look at each.
    """
    from sentiment.data.table import read_labeled_rows
    from sentiment.doubts.doubts import find_doubts

    params = load_params(project)
    if params.fetch.dataset != "table":
        raise UserError(
            f"The dataset {params.fetch.dataset} is no table of your own. Name one: sentiment "
            "dataset FILE"
        )
    if out is not None and out.exists():
        raise UserError(f"{out} exists. Name another file, or remove it.")
    table = params.fetch.table
    show(f"Reading {table.train}")
    rows = read_labeled_rows(table.train, table)
    show("Training TF-IDF with logistic regression")
    found = find_doubts(rows, table.tokenizer, report=show_fold)
    for metric, values in (
        ("accuracy", [fold.accuracy for fold in found.folds]),
        ("macro F1", [fold.macro_f1 for fold in found.folds]),
    ):
        show(describe_spread(metric, values))
    if found.rare:
        show(f"Left out, with fewer than five different texts: {', '.join(found.rare)}")
    path = project.folder / (out or DEFAULT_FILE)
    listed = write_doubts(path, found.doubted.head(count), found.conflicts)
    has_texts = params.evaluate.log_texts
    show(f"The most doubtful of {len(found.doubted):,} doubtful labels:")
    show(describe_rows(found.doubted.head(SHOWN), has_texts))
    if not found.conflicts.empty:
        show(f"Equal texts with different labels, in {len(found.conflicts):,} rows:")
        show(describe_rows(found.conflicts.head(SHOWN), has_texts))
    show(f"{listed:,} rows are in {out or DEFAULT_FILE}. A doubtful label may be right.")


def show_fold(fold: "Fold") -> None:
    """Print the accuracy of a fold."""
    show(f"Fold {fold.number}: accuracy {fold.accuracy:.4f}, macro F1 {fold.macro_f1:.4f}")


def describe_spread(metric: str, values: list[float]) -> str:
    """Return the mean of a metric over the folds, and its standard deviation."""
    import numpy as np

    return f"Cross-validated {metric}: {np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"


def describe_rows(rows: "pd.DataFrame", has_texts: bool) -> str:
    """Return a line for each row: its number, labels, probability and the start of its text."""
    header = f"{'row':>8}  {'label':{LABEL_WIDTH}}  {'suggested':{LABEL_WIDTH}}  {'p':>4}"
    lines = [f"{header}  text" if has_texts else header]
    for row in rows.itertuples():
        labels = [
            f"{shorten(str(label), LABEL_WIDTH):{LABEL_WIDTH}}"
            for label in (row.label, row.suggested_label)
        ]
        line = f"{row.row:>8}  {'  '.join(labels)}  {row.probability:.2f}"
        text = shorten(" ".join(str(row.text).split()), TEXT_WIDTH)
        lines.append(f"{line}  {text}" if has_texts else line)
    return "\n".join(lines)


def write_doubts(path: Path, doubted: "pd.DataFrame", conflicts: "pd.DataFrame") -> int:
    """Write the doubted rows and then the conflicts into a file that only its owner can read.

    Returns:
        The number of rows.
    """
    import pandas as pd

    from sentiment.project.files.documents import replacing, write_table

    table = pd.concat(
        [
            doubted.assign(reason="doubted by a model"),
            conflicts.assign(reason="equal text, another label"),
        ],
        ignore_index=True,
    )
    rounded = table.assign(probability=table["probability"].round(4))
    with replacing(path) as partial:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        write_table(partial, rounded)
    return len(table)
