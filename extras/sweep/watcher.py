"""What `make sweep` shows while its workers train."""

import sys
from typing import TYPE_CHECKING

from tqdm import tqdm

from extras.sweep import space, study, sweep
from extras.sweep.sweep import Sweep
from sentiment.errors import UserError
from workflow.runs import store

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FIRST = 5  # trials of a call that may not all fail


class Watcher:
    """Shows the trials of a study as they end, and stops a sweep whose first trials all fail."""

    def __init__(
        self, this_sweep: Sweep, searched: "optuna.Study", kind: str, bar: "tqdm[None]"
    ) -> None:
        self.sweep, self.study, self.kind, self.bar = this_sweep, searched, kind, bar
        trials = study.tries(searched)
        self.told = {trial.number for trial in trials if trial.state.is_finished()}
        self.ended: list[FrozenTrial] = []  # since then, in that order

    def __call__(self) -> None:
        before = len(self.ended)
        for trial in study.tries(self.study):
            if trial.state.is_finished() and trial.number not in self.told:
                self.told.add(trial.number)
                again = study.will_be_retried(trial)
                self.ended += [] if again else [trial]
                rest = "it is tried again" if again else self.progress()
                self.bar.write(f"{self.line(trial)}; {rest}", file=sys.stdout)
                sys.stdout.flush()
        if len(self.ended) > before:
            self.bar.update(len(self.ended) - before)
            self.log_best()
        require_one_good(self.ended)

    def log_best(self) -> None:
        """Log the best so far to the sweep's run; the confirmation has a study of its own."""
        if self.study.study_name == self.sweep.name:
            with store.tolerating_errors("The best so far is not logged to MLflow"):
                sweep.log_best(self.sweep, self.study)

    def line(self, trial: "FrozenTrial") -> str:
        """What came of a trial."""
        outcome = {
            "COMPLETE": f"{self.sweep.options.metric} {trial.value or 0:.4f}",
            "PRUNED": "pruned",
            "FAIL": f"failed: {trial.user_attrs.get(study.ERROR, 'its process died')}",
        }[trial.state.name]
        return f"{self.kind} {trial.number}: {outcome}, {self.changes(trial)}"

    def progress(self) -> str:
        """How far the study is, and the best so far."""
        best = "".join(
            f", best {trial.value:.4f}: {self.changes(trial)}"
            for trial in study.completed(self.study)[:1]
        )
        return f"{len(study.ended(self.study))} of {study.wanted(self.study)}{best}"

    def changes(self, trial: "FrozenTrial") -> str:
        """What a trial changes of the params that the sweep starts from."""
        changes = space.changes(study.values_of(trial), self.sweep.params)
        return space.as_text(changes) or "nothing changed"


def require_one_good(ended: "list[FrozenTrial]") -> None:
    """Raise UserError if the first trials all failed: so would the rest."""
    failed = [trial for trial in ended[:FIRST] if trial.state.name == "FAIL"]
    if len(failed) == FIRST:
        why = failed[0].user_attrs.get(study.ERROR, "its process died")
        raise UserError(f"The first {FIRST} trials all failed. The first one: {why}")
