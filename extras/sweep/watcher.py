"""What `make sweep` shows while its workers train."""

from typing import TYPE_CHECKING

from extras.sweep import space, study
from extras.sweep.sweep import Sweep
from sentiment.errors import UserError

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FIRST = 5  # trials of a call that may not all fail


class Watcher:
    """Shows the trials of a study as they end, and stops a sweep whose first trials all fail."""

    def __init__(self, this_sweep: Sweep, searched: "optuna.Study", kind: str) -> None:
        self.sweep, self.study, self.kind = this_sweep, searched, kind
        self.before = {trial.number for trial in study.ended(searched)}
        self.shown: list[FrozenTrial] = []  # since then, in the order in which they ended

    def __call__(self) -> None:
        ended = study.ended(self.study)
        known = self.before | {trial.number for trial in self.shown}
        for trial in ended:
            if trial.number not in known:
                self.shown.append(trial)
                print(f"{self.line(trial)}; {len(ended)} of {study.wanted(self.study)}", flush=True)
        failed = [trial for trial in self.shown[:FIRST] if trial.state.name == "FAIL"]
        if len(failed) == FIRST:
            why = failed[0].user_attrs.get(study.ERROR, "its process died")
            raise UserError(f"The first {FIRST} trials all failed. The first one: {why}")

    def line(self, trial: "FrozenTrial") -> str:
        outcome = {
            "COMPLETE": f"{self.sweep.options.metric} {trial.value or 0:.4f}",
            "PRUNED": "pruned",
            "FAIL": f"failed: {trial.user_attrs.get(study.ERROR, 'its process died')}",
        }[trial.state.name]
        return f"{self.kind} {trial.number}: {outcome}, {space.as_text(study.values_of(trial))}"
