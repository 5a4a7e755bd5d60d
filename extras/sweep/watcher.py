"""What `make sweep` shows while its workers train."""

from typing import TYPE_CHECKING

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

    def __init__(self, this_sweep: Sweep, searched: "optuna.Study", kind: str) -> None:
        self.sweep, self.study, self.kind = this_sweep, searched, kind
        trials = searched.get_trials(deepcopy=False)
        self.shown = {trial.number for trial in trials if trial.state.is_finished()}
        self.ended: list[FrozenTrial] = []  # since then, in that order

    def __call__(self) -> None:
        trials = self.study.get_trials(deepcopy=False)
        finished = [trial for trial in trials if trial.state.is_finished()]
        new = [trial for trial in finished if trial.number not in self.shown]
        for trial in new:
            self.shown.add(trial.number)
            again = study.will_be_retried(trial)
            self.ended += [] if again else [trial]
            rest = "it is tried again" if again else self.progress()
            print(f"{self.line(trial)}; {rest}", flush=True)
        if new and self.study.study_name == self.sweep.name:  # and not its confirmation
            with store.tolerating_errors("The best so far is not logged to MLflow"):
                sweep.log_best(self.sweep, self.study)
        require_one_good(self.ended)

    def line(self, trial: "FrozenTrial") -> str:
        outcome = {
            "COMPLETE": f"{self.sweep.options.metric} {trial.value or 0:.4f}",
            "PRUNED": "pruned",
            "FAIL": f"failed: {trial.user_attrs.get(study.ERROR, 'its process died')}",
        }[trial.state.name]
        return f"{self.kind} {trial.number}: {outcome}, {space.as_text(study.values_of(trial))}"

    def progress(self) -> str:
        best = "".join(
            f", best {trial.value:.4f}: {space.as_text(study.values_of(trial))}"
            for trial in study.completed(self.study)[:1]
        )
        return f"{len(study.ended(self.study))} of {study.wanted(self.study)}{best}"


def require_one_good(ended: "list[FrozenTrial]") -> None:
    """Raise UserError if the first trials all failed: so would the rest."""
    failed = [trial for trial in ended[:FIRST] if trial.state.name == "FAIL"]
    if len(failed) == FIRST:
        why = failed[0].user_attrs.get(study.ERROR, "its process died")
        raise UserError(f"The first {FIRST} trials all failed. The first one: {why}")
