"""Group runs that repeat each other with other seeds."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from sentiment.project.machine import MACHINE_TAGS
from sentiment.project.naming import SEPARATOR
from sentiment.project.presets import SEED
from sentiment.project.provenance import COMMIT, DVC_EXPERIMENT
from sentiment.tracking.runs import TEST_SET_DIGEST

if TYPE_CHECKING:
    from mlflow.entities import Run


def identity(run: "Run") -> Hashable:
    """Return what runs have in common that differ by their seed alone.

    These are the other params, the commit, the test set, the machine and the datasets' digests.
    """
    params = frozenset((name, value) for name, value in run.data.params.items() if name != SEED)
    inputs = run.inputs.dataset_inputs if run.inputs else []
    digests = frozenset((each.dataset.name, each.dataset.digest) for each in inputs)
    return (
        params,
        digests,
        *(run.data.tags.get(name) for name in (COMMIT, TEST_SET_DIGEST, *MACHINE_TAGS)),
    )


def group_runs(runs: "Iterable[Run]") -> "dict[Hashable, list[Run]]":
    """Return a run for each seed by `identity`, in the order of the runs.

    The first run of a seed counts: others with this seed have the same bits.
    """
    by_seed: dict[Hashable, dict[str | None, Run]] = {}
    for run in runs:
        by_seed.setdefault(identity(run), {}).setdefault(run.data.params.get(SEED), run)
    return {key: list(group.values()) for key, group in by_seed.items()}


def group_name(run: "Run") -> str:
    """Return the name of a run without its seed and its DVC experiment."""
    own = {f"seed {run.data.params.get(SEED)}", run.data.tags.get(DVC_EXPERIMENT)}
    parts = str(run.info.run_name).split(SEPARATOR)
    return SEPARATOR.join(part for part in parts if part not in own)


def missing_seed(group: "Iterable[Run]") -> int:
    """Return the smallest seed from 42 that a group lacks."""
    trained = {run.data.params.get(SEED) for run in group}
    seed = 42
    while str(seed) in trained:
        seed += 1
    return seed
