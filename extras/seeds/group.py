"""The parent run of several seeds, and what it says about their metrics."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pandas as pd
from scipy import stats

from sentiment.evaluation.metrics import CONFIDENCE
from sentiment.params import Params, TrainParams, flatten, flatten_used
from workflow import provenance

if TYPE_CHECKING:
    from mlflow.entities import Run

SEED_PARAM = "train.seed"
DIGEST = "seeds.digest"  # tag of a parent run
SEEDS = "seeds"  # metric of a parent run: the number of its seeds


@contextmanager
def group_run(experiment_id: str, digest: str, params: Params) -> Iterator[mlflow.ActiveRun]:
    """Start the parent run of seeds, or resume that of an earlier call, and end it with the block.

    Args:
        experiment_id: the experiment of the trainings.
        digest: see `extras.seeds.experiments.project_digest`.
        params: the params of the seeds.
    """
    found = mlflow.MlflowClient().search_runs([experiment_id], f"tags.`{DIGEST}` = '{digest}'")
    with mlflow.start_run(
        run_id=found[0].info.run_id if found else None,
        run_name=group_name(params),
        tags={DIGEST: digest},
        description=f"Its child runs have the same params, except for `{SEED_PARAM}`.",
    ) as run:
        flat = flatten_used(params.fetch, params.pad, params.train)
        flat |= flatten(params.evaluate, "evaluate")
        del flat[SEED_PARAM]
        mlflow.log_params(flat)
        try:
            yield run
        except KeyboardInterrupt:
            mlflow.end_run("KILLED")
            raise


def group_name(params: Params, count: int | None = None) -> str:
    """Return the name of a parent run, with the number of its seeds once it is known."""
    train = params.train.model_copy(update={"seed": TrainParams().seed})  # the name has no seed
    name = provenance.run_name(params.fetch, params.pad, train)
    return provenance.SEPARATOR.join([f"{count} seeds" if count else "seeds", name])


def add_child(parent: "Run", run: "Run") -> None:
    """Make a run a child run of the parent run."""
    mlflow.MlflowClient().set_tag(run.info.run_id, "mlflow.parentRunId", parent.info.run_id)


def summarize(metrics: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """Summarize the test metrics of several seeds.

    Returns:
        Columns `mean`, `sd` (standard deviation), and `low` and `high` (the ends of the t-interval
        of the mean), with a row for each test metric that all seeds have.
    """
    table = pd.DataFrame(metrics).filter(regex="^test_").dropna(axis="columns")
    table = table.sort_index(axis="columns")
    count = len(table)
    mean = table.mean()
    sd = table.std()
    half = stats.t.ppf((1 + CONFIDENCE) / 2, count - 1) * sd / np.sqrt(count)
    return pd.DataFrame({"mean": mean, "sd": sd, "low": mean - half, "high": mean + half})


def log_summary(parent: "Run", summary: pd.DataFrame, params: Params, count: int) -> None:
    """Log a summary and the number of seeds to the parent run, which is active, and name it."""
    values = {
        f"{metric}_{column}": float(value)
        for column, series in summary.items()
        for metric, value in series.items()
    }
    mlflow.log_metrics({SEEDS: count, **values})
    mlflow.MlflowClient().update_run(parent.info.run_id, name=group_name(params, count))


def describe_group(runs: "Mapping[int, Run]", summary: pd.DataFrame) -> str:
    """Write the accuracy of each seed and a summary as text.

    Args:
        runs: the run of each seed.
        summary: see `summarize`.
    """
    trained = pd.DataFrame(
        {
            "seed": list(runs),
            "test_accuracy": [run.data.metrics["test_accuracy"] for run in runs.values()],
            "run": [run.info.run_id for run in runs.values()],
        }
    )
    titles = {
        "sd": "standard deviation",
        "low": f"{CONFIDENCE:.0%} interval from",
        "high": "to",
    }
    tables = [trained.set_index("seed"), summary.rename(columns=titles)]
    return "\n\n".join(table.to_markdown(tablefmt="plain", floatfmt=".4f") for table in tables)
