"""The report of a sweep."""

from pathlib import Path

import optuna
import pytest

from extras.sweep import study
from extras.sweep import sweep_page as pages
from extras.sweep.sweep import Sweep, candidates, to_confirm
from extras.sweep.sweep_options import SweepOptions
from workflow.params import Params

VALUES = [0.5, 0.8, 0.7, 0.9, 0.6]


@pytest.fixture
def sweep(default_params: Params, sweep_options: SweepOptions, tmp_path: Path) -> Sweep:
    """A sweep of five trials, of which the best two were confirmed, and a failed one."""
    confirm = sweep_options.confirm.model_copy(update={"top": 2, "seeds": 2})
    options = sweep_options.model_copy(update={"confirm": confirm})
    found = Sweep(default_params, options, "sweep-x", f"sqlite:///{tmp_path}/sweeps.db", "run")
    search = study.open_study(found.name, found.url, options)
    scale = optuna.distributions.FloatDistribution(0, 1)
    for value in VALUES:
        attrs = {"history": [{"seconds": 720.0}], "cores": 2}
        search.add_trial(
            optuna.trial.create_trial(
                value=value,
                params={"train.dropout.head": value / 2},
                distributions={"train.dropout.head": scale},
                user_attrs=attrs,
            )
        )
    failed = optuna.trial.TrialState.FAIL
    error = {study.ERROR: "the disk <is> full"}
    search.add_trial(optuna.trial.create_trial(state=failed, user_attrs=error))
    again = study.open_study(study.confirmation(found.name), found.url, options)
    for head, value in ((0.45, 0.70), (0.45, 0.72), (0.4, 0.80), (0.4, 0.78)):
        seed = 43 + len(again.trials) % 2
        values = {"train.dropout.head": head, "train.seed": seed}
        again.add_trial(optuna.trial.create_trial(value=value, user_attrs={study.VALUES: values}))
    return found


def test_equal_trials_are_confirmed_once_and_count_each(sweep: Sweep) -> None:
    search = study.open_study(sweep.name, sweep.url, sweep.options)
    best = study.completed(search)[0]
    search.add_trial(
        optuna.trial.create_trial(
            value=best.value, params=best.params, distributions=best.distributions
        )
    )
    assert len(to_confirm(sweep, search)) == 2
    assert [each.trial for each in candidates(sweep)] == [3, 6]


def test_a_trial_that_succeeded_when_tried_again_is_no_failed_one() -> None:
    attrs = {study.ERROR: "disk full", study.PASSING: True}
    again = optuna.trial.create_trial(value=0.5, user_attrs=attrs)
    assert pages.row(again).state == "complete"
    assert not study.may_pass(again)


def test_the_page_has_confirmed_trials_their_lead_plots_and_every_trial(
    sweep: Sweep, tmp_path: Path
) -> None:
    pages.write(sweep, candidates(sweep), tmp_path / "report")
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<td>0.7900</td><td>0.0141</td><td>0.6629 to 0.9171</td>" in text
    assert "2.00 core hours of training" in text  # five trials of 720 s on two cores
    assert "trial 3 led trial 1 by 0.1000. Under the further seeds it trails trial 1 by" in text
    assert "the disk &lt;is&gt; full" in text
    assert text.count('class="plot"') == 4
    assert "Metric by train.dropout.head" in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_a_sweep_without_a_completed_trial_has_a_page_too(sweep: Sweep, tmp_path: Path) -> None:
    empty = sweep._replace(name="sweep-y")
    pages.write(empty, [], tmp_path / "report")
    assert "No trial is confirmed yet" in (tmp_path / "report" / "report.html").read_text()
