"""What `make sweep` shows while its workers train."""

import time
from typing import TYPE_CHECKING

from extras.sweep import space, study, sweep
from extras.sweep.progress import Progress
from extras.sweep.sweep import Sweep
from extras.sweep.trial import HISTORY
from sentiment.errors import UserError
from workflow.runs import store

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FIRST = 5  # trials of a call that may not all fail


class Watcher:
    """Shows the trials of a study, and stops a sweep whose first trials all fail.

    Attributes:
        ended: the trials that have ended since, in that order.
        again: the numbers of those that failed and are tried again.
    """

    def __init__(
        self, this_sweep: Sweep, searched: "optuna.Study", kind: str, display: Progress
    ) -> None:
        self.sweep, self.study, self.kind, self.display = this_sweep, searched, kind, display
        self.metric = this_sweep.options.metric
        self.finished = {
            trial.number for trial in study.slots(searched) if trial.state.is_finished()
        }
        self.begun, self.done = time.monotonic(), len(self.finished)
        self.ended: list[FrozenTrial] = []
        self.again: set[int] = set()

    def __call__(self) -> None:
        trials, before = study.slots(self.study), len(self.ended)
        wanted = study.wanted(self.study)
        for trial in trials:
            again = study.will_be_retried(trial)
            if again and study.ERROR in trial.user_attrs and trial.number not in self.again:
                self.again.add(trial.number)
                self.display.line(f"{self.line(trial)}; it is tried again")
            ended = trial.state.is_finished() and not again
            if ended and trial.number not in self.finished:
                self.finished.add(trial.number)
                self.ended.append(trial)
                self.done = sum(other.number in self.finished for other in trials)
                self.display.line(f"{self.line(trial)}; {self.progress(wanted)}")
        if len(self.ended) > before:
            self.log_best()
        running = [self.worker(trial) for trial in trials if trial.state.name == "RUNNING"]
        self.display.update(self.done, self.progress(wanted) + self.best(), running)
        require_one_good(self.ended)

    def log_best(self) -> None:
        """Log the best so far to the sweep's run; the confirmation has a study of its own."""
        if self.study.study_name == self.sweep.name:
            with store.tolerating_errors("The best so far is not logged to MLflow"):
                sweep.log_best(self.sweep, self.study)

    def line(self, trial: "FrozenTrial") -> str:
        """What came of a trial."""
        outcome = {
            "COMPLETE": f"{self.metric} {trial.value or 0:.4f}",
            "PRUNED": "pruned",
            "FAIL": f"failed: {trial.user_attrs.get(study.ERROR, 'its process died')}",
        }[trial.state.name]
        return f"{self.kind} {trial.number}: {outcome}, {self.changes(trial)}"

    def worker(self, trial: "FrozenTrial") -> str:
        """How far a trial is that is being trained."""
        rows = trial.user_attrs.get(HISTORY, [])
        epochs = study.values_of(trial).get("train.epochs", self.sweep.params.train.epochs)
        last = f", {self.metric} {rows[-1][self.metric]:.4f}" if rows else ""
        done = f"epoch {len(rows)} of {epochs}{last}"
        return f"{self.kind} {trial.number}: {done}, {self.changes(trial)}"

    def progress(self, wanted: int) -> str:
        """How far the study is, and about how long the rest takes."""
        done = self.done
        if not self.ended or done == wanted:
            return f"{done} of {wanted}"
        minutes = (time.monotonic() - self.begun) / len(self.ended) / 60
        return f"{done} of {wanted}, about {minutes * (wanted - done):.0f} min left"

    def best(self) -> str:
        """The best so far, and what it changes."""
        trials = study.completed(self.study)
        return f", best {trials[0].value:.4f}: {self.changes(trials[0])}" if trials else ""

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
