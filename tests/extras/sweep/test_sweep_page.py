"""The report of a sweep."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from extras.sweep import study
from extras.sweep import sweep_page as pages
from extras.sweep.sweep import Sweep, studies


@pytest.mark.usefixtures("url")
def test_the_page_has_confirmed_trials_plots_and_every_trial(
    small_sweep: Sweep, tmp_path: Path
) -> None:
    search, again = studies(small_sweep)
    kinds = {"train.dropout.head": optuna.distributions.FloatDistribution(0, 1)}
    for value in (0.5, 0.8, 0.7, 0.9, 0.6):
        params = {"train.dropout.head": value / 2}
        search.add_trial(create_trial(value=value, params=params, distributions=kinds))
    error = {study.ERROR: "the disk <is> full"}
    search.add_trial(create_trial(state=TrialState.FAIL, user_attrs=error))
    for head, seed, value in ((0.45, 43, 0.70), (0.45, 44, 0.72), (0.4, 43, 0.8), (0.4, 44, 0.78)):
        values: dict[str, Any] = {"train.dropout.head": head, "train.seed": seed}
        again.add_trial(create_trial(value=value, user_attrs={study.VALUES: values}))
    pages.write(small_sweep, tmp_path / "report")
    text = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<td>0.7900</td><td>0.0141</td><td>0.6629 to 0.9171</td>" in text
    assert "<td>0.9000</td><td>train.dropout.head=0.45</td>" in text
    assert "the disk &lt;is&gt; full" in text
    assert text.count('class="plot"') == 2
    assert "http" not in text.replace("http://www.w3.org", "")
