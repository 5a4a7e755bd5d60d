"""Compare the results of a run with those of the same training now."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sentiment.project.files.params_file import read_yaml
from sentiment.project.files.paths import PREDICTIONS_FILE, Project
from sentiment.project.training.machine import machine_changes, machine_tags
from sentiment.project.training.provenance import COMMIT
from sentiment.reproduce.record import RecordedRun
from sentiment.tracking.evaluations import read_predictions
from sentiment.tracking.runs import LOCK_ARTIFACT

COMPARED_OUTPUTS = ("data/fetch", "data/pad", "data/train")  # data/run.json has another run's id
EQUAL = "equal"
DIFFERS = "DIFFERS"


class Reproduction(NamedTuple):
    """The results of a run, and those of the same training now.

    Attributes:
        states: `EQUAL` to the bit or `DIFFERS`, for each result by its path.
        machine: what differs between the machines: the values then and now, by name.
        accuracies: the test accuracy then and now.
    """

    states: dict[str, str]
    machine: dict[str, tuple[str, str]]
    accuracies: tuple[float, float]

    @property
    def is_equal(self) -> bool:
        """Whether no result differs."""
        return DIFFERS not in self.states.values()


def compare_results(run: RecordedRun, copy: Project) -> Reproduction:
    """Compare the results of a run with those in a worktree, whose dvc.lock has their hashes."""
    then = read_hashes(read_yaml(run.folder / LOCK_ARTIFACT))
    now = read_hashes(read_yaml(copy.dvc_lock))
    states = {
        path: EQUAL if then.get(path) == now.get(path) else DIFFERS for path in COMPARED_OUTPUTS
    }
    files = (run.folder / PREDICTIONS_FILE, copy.evaluated / PREDICTIONS_FILE)
    is_same = files[0].read_bytes() == files[1].read_bytes()
    states[f"data/evaluate/{PREDICTIONS_FILE}"] = EQUAL if is_same else DIFFERS
    tables = [read_predictions(path) for path in files]
    accuracies = [float((table["actual"] == table["predicted"]).mean()) for table in tables]
    changes = machine_changes(run.tags, machine_tags())
    return Reproduction(states, changes, (accuracies[0], accuracies[1]))


def read_hashes(lock: Mapping[str, Any]) -> dict[str, str]:
    """Return DVC's hash of each output by its path, given a parsed dvc.lock."""
    outputs = [out for stage in lock["stages"].values() for out in stage["outs"]]
    return {out["path"]: out["md5"] for out in outputs}


def describe_comparison(run: RecordedRun, results: Reproduction) -> str:
    """Return a table of what is equal and what differs, and of the machine."""
    lines = [f"Run {run.run_id}: {run.name}, commit {run.tags[COMMIT][:12]}"]
    lines += [f"  {path:30} {state}" for path, state in results.states.items()]
    lines += [f"  {name}: {a} then, {b} now" for name, (a, b) in results.machine.items()]
    if results.is_equal:
        lines.append("All compared results are the same, bit for bit.")
    else:
        then, now = results.accuracies
        lines.append(f"Test accuracy {then:.4f} then, {now:.4f} now.")
    return "\n".join(lines)
