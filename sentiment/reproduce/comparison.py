"""Compare the results of a run with those of a clone."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sentiment.project import paths
from sentiment.project.machine import machine_changes, machine_tags
from sentiment.project.params_file import read_yaml
from sentiment.project.provenance import COMMIT
from sentiment.reproduce.record import RecordedRun
from sentiment.text.labels import PREFIX
from sentiment.tracking.promotion import is_correct
from sentiment.tracking.versions import read_predictions

if TYPE_CHECKING:
    import pandas as pd

EQUAL = "equal"
DIFFERS = "DIFFERS"
FROM_DVC = "from DVC"


class Comparison(NamedTuple):
    """The results of a run, and those of the same training now.

    Attributes:
        states: `EQUAL` to the bit, `DIFFERS` or `FROM_DVC`, for each result by its path.
        machine: see `sentiment.project.machine.machine_changes`.
        predictions: see `describe_predictions`.
    """

    states: dict[str, str]
    machine: dict[str, tuple[str, str]]
    predictions: str

    @property
    def is_equal(self) -> bool:
        """No result differs."""
        return DIFFERS not in self.states.values()


def compare_results(run: RecordedRun, project: Path, stages: Collection[str]) -> Comparison:
    """Compare the results of a run with those of a clone.

    Args:
        project: the project's root in the clone, whose dvc.lock has the digests of the results.
        stages: those that were run.
    """
    lock_then = read_yaml(run.folder / paths.DVC_LOCK)["stages"]
    lock_now = read_yaml(project / paths.DVC_LOCK)["stages"]
    then = run.folder / paths.PREDICTIONS_FILE.name
    now = project / paths.PREDICTIONS_FILE
    is_same = then.read_bytes() == now.read_bytes()
    predictions = {str(paths.PREDICTIONS_FILE): EQUAL if is_same else DIFFERS}
    return Comparison(
        states=compare_outs(lock_then, lock_now, stages) | predictions,
        machine=machine_changes(run.tags, machine_tags()),
        predictions=describe_predictions(read_predictions(then), read_predictions(now)),
    )


def compare_outs(
    then: Mapping[str, Any], now: Mapping[str, Any], stages: Collection[str]
) -> dict[str, str]:
    """Return the state of each result by its path.

    Args:
        then: the stages in the run's dvc.lock.
        now: those in the clone's.
        stages: those that were run.
    """
    states = {}
    for stage in then:
        digests = {out["path"]: out["md5"] for out in now[stage]["outs"]}
        for out in then[stage]["outs"]:
            is_same = digests.get(out["path"]) == out["md5"]
            compared = EQUAL if is_same else DIFFERS
            states[out["path"]] = compared if stage in stages else FROM_DVC
    return states


def describe_predictions(then: "pd.DataFrame", now: "pd.DataFrame") -> str:
    """Say how far two tables of predictions are apart, see `sentiment.evaluation.metrics`."""
    probabilities_then = then.filter(regex=f"^{PREFIX}")
    probabilities_now = now.filter(regex=f"^{PREFIX}")
    difference = float((probabilities_then - probabilities_now).abs().to_numpy().max())
    return (
        f"Test accuracy {is_correct(then).mean():.4f} then, {is_correct(now).mean():.4f} now. The "
        f"probabilities differ by at most {difference:.2g}."
    )


def describe_comparison(run: RecordedRun, comparison: Comparison) -> str:
    """Return a table of what is equal and what differs, and of the machine."""
    lines = [f"Run {run.run_id}: {run.name}, commit {run.tags[COMMIT]}"]
    lines += [f"  {path:30} {state}" for path, state in comparison.states.items()]
    lines += [f"  {name}: {a} then, {b} now" for name, (a, b) in comparison.machine.items()]
    if comparison.is_equal:
        lines.append("All compared results are the same, bit for bit.")
    else:
        lines.append(comparison.predictions)
    return "\n".join(lines)
