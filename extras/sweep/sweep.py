"""A sweep: its study, its run in MLflow, and the trials that are worth training again."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from extras.common import run_groups
from extras.sweep import study
from extras.sweep.sweep_options import SweepOptions
from extras.sweep.trial import Task
from sentiment.data.dataset import settings_used
from sentiment.errors import UserError
from sentiment.section import flatten
from sentiment.text import Reviews
from workflow import files
from workflow.files import FETCH, arrays, read_reviews
from workflow.params import Params
from workflow.params_file import changed
from workflow.runs import identity, store
from workflow.runs.identity import fingerprint, provenance

if TYPE_CHECKING:
    import mlflow
    import optuna
    from optuna.trial import FrozenTrial

KEY = "sweep.key"  # tag of a sweep's run: what its trials have in common
# tags: of a training of the best params, that sweep's run; of the sweep's run, that training
SWEEP_RUN, REPRODUCED = "sweep.run", "sweep.reproduced"
SEED = "train.seed"
CODE = ("pad", "train")  # stages whose code shapes a trial


class Sweep(NamedTuple):
    """A sweep.

    Attributes:
        params: those that it starts from.
        options: what is searched, and how.
        name: of its study.
        url: of the study's database.
        run_id: its MLflow run.
    """

    params: Params
    options: SweepOptions
    name: str
    url: str
    run_id: str


class Candidate(NamedTuple):
    """A trial that was trained again under further seeds.

    Attributes:
        trial: its number.
        values: those that it changed, by dotted names.
        found: the metric that the search found.
        confirmed: the metric under each further seed.
    """

    trial: int
    values: dict[str, Any]
    found: float
    confirmed: list[float]

    @property
    def mean(self) -> float:
        """The mean under the further seeds."""
        return float(np.mean(self.confirmed))

    @property
    def spread(self) -> float:
        """The standard deviation under them."""
        return float(np.std(self.confirmed, ddof=1))


def open_sweep(params: Params, options: SweepOptions) -> Sweep:
    """The sweep of these params, options, data and code, with its MLflow run.

    Raises:
        UserError: a store cannot be used.
    """
    import mlflow
    from mlflow.entities import Param

    key = key_of(params, options)
    experiment_id, client = store.connect(), mlflow.MlflowClient()
    with store.as_user_error(), run_groups.exclusive():
        parent = str(run_groups.find_or_make(client, experiment_id, KEY, key).info.run_id)
        client.set_tag(parent, "mlflow.runName", f"sweep {key[:8]}")
        searched = run_groups.as_text({f"sweep.{name}": x for name, x in settings(options).items()})
        client.log_batch(parent, params=[Param(*pair) for pair in searched.items()])
    return Sweep(params, options, f"sweep-{key}", study.address(), parent)


def unfinished(sweep: Sweep) -> list[str]:
    """The names of the database's sweeps that have not ended; none once this one has trials."""
    import optuna

    database, (own, _) = study.storage(sweep.url), studies(sweep)
    if own.trials:
        return []
    names = optuna.get_all_study_names(database)
    others = [optuna.load_study(study_name=name, storage=database) for name in names]
    return [other.study_name for other in others if not study.is_over(other)]


def settings(options: SweepOptions) -> dict[str, Any]:
    """What shapes the search, beside the params that it starts from."""
    return options.model_dump(exclude={"confirm"}, exclude_none=True)


def key_of(params: Params, options: SweepOptions) -> str:
    """A name for a sweep, from all that shapes it: params, space, data and code.

    The values of the searched params are left out: written into params.yaml, the best ones are
    still those of the same sweep.
    """
    used = {name: x for name, x in settings_of(params).items() if name not in options.space}
    searched = {**used, "sweep": settings(options)}
    return fingerprint({"params": searched, "code": identity.code_digests(CODE)})


def settings_of(params: Params) -> dict[str, Any]:
    """Everything that shapes a training, by dotted names."""
    sections = flatten(params.pad, "pad") | flatten(params.train, "train")
    return data_of(params) | sections


def data_of(params: Params) -> dict[str, Any]:
    """What shaped `data/fetch`; raises UserError where that is not of these params."""
    data: dict[str, Any] = files.read_about(FETCH)["params"]
    wanted = settings_used(params.fetch)
    if params.fetch.dataset == "table" and Path(params.fetch.table.train).is_file():
        wanted["fetch.table.train_sha256"] = files.sha256(Path(params.fetch.table.train))
    if not wanted.items() <= data.items():
        raise UserError(f"{FETCH} has other reviews than params.yaml: run `dvc repro fetch`.")
    return data


def read_task(sweep: Sweep) -> Task:
    """What all trials share; raises UserError where `data/fetch` is not of these params."""
    data = data_of(sweep.params)
    tags = {**provenance(), "dataset": sweep.params.fetch.name}
    return Task(
        sweep.params,
        sweep.options,
        data,
        reviews_digest(),
        identity.code_digests(CODE),
        tags,
        sweep.run_id,
        store.tracking_uri(),
    )


def reviews_digest() -> str:
    """SHA-256 of the training part in `data/fetch`; raises UserError where it is missing."""
    return files.joint_digest(FETCH, arrays("train"))


def training_reviews(digest: str) -> Reviews:
    """The training part in `data/fetch`.

    Raises:
        UserError: it is missing, damaged or other than the sweep began with.
    """
    reviews = read_reviews(FETCH, "train")
    if reviews_digest() != digest:
        raise UserError(
            f"{FETCH} has other reviews than the sweep began with: run `dvc repro fetch` with the "
            "sweep's params.yaml, and `make sweep` again."
        )
    return reviews


def studies(sweep: Sweep) -> "tuple[optuna.Study, optuna.Study]":
    """The study that searches, and the one that confirms."""
    names = (sweep.name, study.confirmation(sweep.name))
    search, confirm = (study.open_study(name, sweep.url, sweep.options) for name in names)
    return search, confirm


def to_confirm(sweep: Sweep, search: "optuna.Study") -> list[dict[str, Any]]:
    """The values of the best trials, under each further seed; equal ones once."""
    best = study.completed(search)[: sweep.options.confirm.top]
    listed = [values for trial in best for values in under_seeds(sweep, trial)]
    return [values for number, values in enumerate(listed) if values not in listed[:number]]


def under_seeds(sweep: Sweep, trial: "FrozenTrial") -> list[dict[str, Any]]:
    """The values of a trial under each further seed."""
    first = sweep.params.train.seed + 1
    return [{**study.values_of(trial), SEED: first + n} for n in range(sweep.options.confirm.seeds)]


def unconfirmed(sweep: Sweep, search: "optuna.Study", confirm: "optuna.Study") -> bool:
    """Whether a training under a further seed is missing or has not ended."""
    return not study.is_over(confirm) or bool(study.missing(confirm, to_confirm(sweep, search)))


def candidates(sweep: Sweep) -> list[Candidate]:
    """The confirmed trials, the one with the best mean first."""
    search, confirm = studies(sweep)
    again = {repr(trial.user_attrs[study.VALUES]): trial for trial in study.completed(confirm)}
    confirmed = []
    for trial in study.completed(search)[: sweep.options.confirm.top]:
        own = under_seeds(sweep, trial)
        done = [float(again[repr(values)].value) for values in own if repr(values) in again]
        if len(done) == sweep.options.confirm.seeds:
            values, value = study.values_of(trial), float(trial.value)
            confirmed.append(Candidate(trial.number, values, value, done))
    sign = 1 if sweep.options.metric == "val_loss" else -1
    return sorted(confirmed, key=lambda candidate: sign * candidate.mean)


def about_lead(sweep: Sweep, confirmed: list[Candidate]) -> str:
    """How far the search's best trial led the others in the search, and under the further seeds."""
    sign = -1 if sweep.options.metric == "val_loss" else 1
    best, *others = sorted(confirmed, key=lambda candidate: -sign * candidate.found)
    if not others:
        return "Only one trial is confirmed: there is no other to compare it with."
    rival = max(others, key=lambda candidate: sign * candidate.mean)
    after = sign * (best.mean - rival.mean)
    return (
        f"In the search, trial {best.trial} led trial {others[0].trial} by "
        f"{abs(best.found - others[0].found):.4f}. Under the further seeds it "
        f"{'trails' if after < 0 else 'leads'} trial {rival.trial} by {abs(after):.4f}."
    )


def log_best(sweep: Sweep, search: "optuna.Study") -> None:
    """Log the best so far, by completed trials, to the sweep's run, as far as it lacks that."""
    import mlflow
    from mlflow.entities import Metric

    client, metric = mlflow.MlflowClient(), f"best_{sweep.options.metric}"
    logged = len(client.get_metric_history(sweep.run_id, metric))
    points = [Metric(metric, *point) for point in best_so_far(search)]
    client.log_batch(sweep.run_id, metrics=points[logged:])


def best_so_far(search: "optuna.Study") -> list[tuple[float, int, int]]:
    """For each completed trial, in the order in which they were, the best until then.

    Returns:
        for each: the best, when in milliseconds since 1970, and how many were completed.
    """
    trials = sorted(study.completed(search), key=lambda trial: trial.datetime_complete)
    better = np.maximum if search.direction.name == "MAXIMIZE" else np.minimum
    best = better.accumulate([trial.value for trial in trials])
    moments = [int(trial.datetime_complete.timestamp() * 1000) for trial in trials]
    return list(zip(best.tolist(), moments, range(1, len(trials) + 1), strict=True))


def log_outcome(sweep: Sweep, winner: Candidate | None, report: Path) -> None:
    """Log to the sweep's run its report, and link it with a training of the winner's params."""
    import mlflow

    client = mlflow.MlflowClient()
    client.log_artifacts(sweep.run_id, str(report))
    if winner is not None:
        link_winner(client, sweep, winner)


def link_winner(client: "mlflow.MlflowClient", sweep: Sweep, winner: Candidate) -> None:
    """Link the sweep's run and the newest training of the winner's params, if there is one."""
    values = run_groups.as_text(winner.values).items()
    wanted = run_groups.as_text(settings_of(changed(sweep.params, winner.values)))
    experiment = client.get_run(sweep.run_id).info.experiment_id
    same = " and ".join(f"params.`{name}` = '{value}'" for name, value in values)
    for run in client.search_runs([experiment], same):
        if run_groups.PARENT not in run.data.tags and wanted.items() <= run.data.params.items():
            client.set_tag(run.info.run_id, SWEEP_RUN, sweep.run_id)
            client.set_tag(sweep.run_id, REPRODUCED, run.info.run_id)
            return
