"""A sweep: its study, its run in MLflow, and the trials that are worth training again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial
from workflow.runs.identity import fingerprint, provenance

from extras.common import run_groups
from extras.sweep import study
from extras.sweep.sweep_options import SweepOptions
from sentiment.data.params import NO_ADDED_TEXTS, describe_dataset
from sentiment.errors import UserError
from sentiment.section import flatten
from workflow import downloads, files
from workflow.files import FETCH
from workflow.params import Params, dataset_name
from workflow.runs import identity, store

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
    data: dict[str, Any]  # the params that the reviews depend on, by dotted names
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
    import mlflow
    from mlflow.entities import Param

    data, code = data_of(params), identity.code_digests(CODE)
    settings = options.model_dump(exclude={"confirm"}, exclude_none=True)
    used = {name: x for name, x in settings_of(data, params).items() if name not in options.space}
    key = fingerprint({"params": {**used, "sweep": settings}, "code": code})
    experiment_id, client = store.connect(), mlflow.MlflowClient()
    with store.as_user_error(), run_groups.exclusive():
        run_id = run_groups.find_or_make(client, experiment_id, KEY, key).info.run_id
        client.set_tag(run_id, "mlflow.runName", f"sweep {key[:8]}")
        searched = [Param(f"sweep.{name}", str(x)) for name, x in settings.items()]
        client.log_batch(run_id, params=searched)
    tags = {**provenance(), "dataset": params.fetch.name}
    name, uri = f"sweep-{key}", store.tracking_uri()
    return Sweep(name, run_id, uri, params, options, data, code, tags)


def settings_of(data: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """Everything that shapes a training, by dotted names; `data` is what shaped the reviews."""
    return {**data, **flatten(params.pad, "pad"), **flatten(params.train, "train")}


def data_of(params: Params) -> dict[str, Any]:
    """What shaped `data/fetch`; raises UserError where that is not of these params."""
    data: dict[str, Any] = files.read_about(FETCH)["params"]
    wanted = flatten(describe_dataset(params.fetch), "fetch")
    if params.fetch.dataset == "table" and Path(params.fetch.table.train).is_file():
        wanted["fetch.table.train_sha256"] = files.sha256(Path(params.fetch.table.train))
    if params.fetch.add != NO_ADDED_TEXTS and Path(params.fetch.add).exists():
        with downloads.added(params.fetch.add) as (_, digest):
            wanted["fetch.add_sha256"] = digest
    if dataset_name(data) != params.fetch.name or not wanted.items() <= data.items():
        raise UserError(f"{FETCH} has other reviews than params.yaml: run `dvc repro fetch`.")
    return data


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
