"""A sweep: its study, its run in MLflow, and the trials that are worth training again."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from extras.common import run_groups
from extras.sweep import study
from extras.sweep.sweep_options import SweepOptions
from sentiment.data.params import NO_ADDED_TEXTS, Dataset, FetchParams, describe_dataset
from sentiment.errors import UserError
from sentiment.section import flatten
from workflow import downloads, files, provenance, store, tracking
from workflow.about import AboutFetch, AboutTrain, read_about
from workflow.files import FETCH
from workflow.params import Params

KEY = "sweep.key"  # tag of a sweep's run: what its trials have in common
SEED = "train.seed"
CODE = ("pad", "train")  # stages whose code shapes a trial


class Sweep(NamedTuple):
    """A sweep: small and without secrets, since it is sent to workers."""

    name: str  # of its study
    run_id: str  # its run in MLflow
    tracking_uri: str  # of the store that has it, for workers elsewhere
    params: Params  # that it starts from
    options: SweepOptions
    dataset: Dataset  # what the reviews depend on
    code: dict[str, str]  # digests of the modules that shape a training, by path
    tags: dict[str, str]  # what leads back from a run to code and data


class Candidate(NamedTuple):
    """A trial that was trained again with further seeds."""

    trial: int  # its number
    values: dict[str, Any]  # by dotted names
    found: float  # the metric in the search
    confirmed: list[float]  # the metric under each further seed

    @property
    def mean(self) -> float:
        return float(np.mean(self.confirmed))

    @property
    def spread(self) -> float:
        """The standard deviation."""
        return float(np.std(self.confirmed, ddof=1))


def open_sweep(params: Params, options: SweepOptions) -> Sweep:
    """The sweep of these params, options, data and code, with its MLflow run.

    The values of the searched params do not tell sweeps apart: written into params.yaml, the best
    ones are still those of the same sweep.

    Raises:
        UserError: a store cannot be used, or `data/fetch` is not of these params.
    """
    dataset = fetched_dataset(params.fetch)
    code = provenance.code_digests(CODE)
    settings = options.model_dump(exclude={"confirm"}, exclude_none=True)
    flat_params = about_training(dataset, params).flat_params()
    fixed = {name: value for name, value in flat_params.items() if name not in options.space}
    key = provenance.short_digest_of({"params": fixed, "sweep": settings, "code": code})
    with run_groups.exclusive():
        run = tracking.parent_run(KEY, key, f"sweep {key[:8]}")
        tracking.log_params(run, {f"sweep.{name}": value for name, value in settings.items()})
    return Sweep(
        name=f"sweep-{key}",
        run_id=run.run_id,
        tracking_uri=store.tracking_uri(),
        params=params,
        options=options,
        dataset=dataset,
        code=code,
        tags={**provenance.provenance_tags(), "dataset": dataset.name},
    )


def about_training(dataset: Dataset, params: Params) -> AboutTrain:
    """Return what a training with these params depends on, beside the code."""
    return AboutTrain(dataset=dataset, pad=params.pad, train=params.train)


def fetched_dataset(params: FetchParams) -> Dataset:
    """Return what `data/fetch` depends on.

    Raises:
        UserError: it is not of these params, or a file with texts was changed since.
    """
    dataset = read_about(FETCH, AboutFetch).dataset
    digests = {}
    if params.dataset == "table" and Path(params.table.train).is_file():
        digests["train_sha256"] = files.sha256(Path(params.table.train))
    if params.add != NO_ADDED_TEXTS and Path(params.add).exists():
        with downloads.local_added_tables(params.add) as (_, digest):
            digests["add_sha256"] = digest
    expected = flatten(describe_dataset(params, **digests), "fetch")
    # `data/fetch` has further digests, such as of texts at URLs.
    is_same = expected.items() <= flatten(dataset, "fetch").items()
    if dataset.name != params.name or not is_same:
        raise UserError(f"{FETCH} has other reviews than params.yaml: run `dvc repro fetch`.")
    return dataset


def studies(sweep: Sweep) -> tuple[optuna.Study, optuna.Study]:
    """The study that searches, and the one that confirms."""
    search = study.open_study(sweep.name, sweep.options)
    return search, study.open_study(sweep.name + study.CONFIRMED, sweep.options)


def to_confirm(sweep: Sweep, search: optuna.Study) -> list[dict[str, Any]]:
    """The values of the best trials, under each further seed."""
    best = study.completed(search)[: sweep.options.confirm.top]
    return [values for trial in best for values in under_seeds(sweep, trial)]


def under_seeds(sweep: Sweep, trial: FrozenTrial) -> list[dict[str, Any]]:
    first = sweep.params.train.seed + 1
    return [{**study.values_of(trial), SEED: first + n} for n in range(sweep.options.confirm.seeds)]


def is_finished(sweep: Sweep) -> bool:
    """Whether all trials have ended, and the best were trained again under each further seed."""
    search, confirm = studies(sweep)
    missing = study.missing(confirm, to_confirm(sweep, search))
    return study.is_over(search) and study.is_over(confirm) and not missing


def candidates(sweep: Sweep) -> list[Candidate]:
    """The confirmed trials, the one with the best mean first."""
    search, confirm = studies(sweep)
    again = {repr(study.values_of(trial)): trial.value for trial in study.completed(confirm)}
    confirmed = []
    for trial in study.completed(search)[: sweep.options.confirm.top]:
        wanted = [repr(values) for values in under_seeds(sweep, trial)]
        if again.keys() >= {*wanted}:
            metrics = [again[values] for values in wanted]
            values = study.values_of(trial)
            confirmed.append(Candidate(trial.number, values, trial.value, metrics))
    sign = 1 if sweep.options.metric == "val_loss" else -1
    return sorted(confirmed, key=lambda candidate: sign * candidate.mean)
