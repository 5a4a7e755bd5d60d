"""A sweep from its start to its report, and to the params that it found."""

import sys
from pathlib import Path
from typing import Any

import optuna

from extras.common import parent_runs
from extras.common.parent_runs import PARENT
from extras.sweep import report
from extras.sweep.config import CONFIG_FILE, SweepConfig
from extras.sweep.confirmed_trials import rank_confirmed_trials, values_to_confirm
from extras.sweep.search import train_all
from extras.sweep.study import CONFIRMED, ended_trials, open_study, storage_errors
from extras.sweep.trial import Sweep
from sentiment.data.params import NO_ADDED_TEXTS, Dataset, FetchParams, describe_dataset
from sentiment.errors import StoreError, UserError, first_line
from sentiment.section import flatten
from workflow import downloads, files, params_file, provenance, tracking
from workflow.about import AboutFetch, AboutTrain, read_about
from workflow.files import FETCH
from workflow.params import PARAMS_FILE, Params, load_params, load_yaml

SWEEP_KEY = "sweep.key"  # tag of a parent run: what all trials of the sweep have in common
CODE = ("pad", "train")  # the stages with the code that a trial depends on
TRIALS = "trials"  # attribute of a study: how many trials were asked for last
DEFAULT_TRIALS = 20
TABLE_FILE = "table.txt"


def run_sweep(n_trials: int | None, workers: int, apply: bool) -> tuple[dict[str, Any], str]:
    """Search until the sweep has this many trials, confirm the best ones, and log the result.

    Args:
        n_trials: number of trials. None: as many as were asked for last.
        workers: number of processes on this machine.
        apply: write the values of the winner into `params.yaml`.

    Returns:
        What `make sweep JSON=1` prints, and the same for a reader.

    Raises:
        UserError: a store cannot be used, `data/fetch` is not of these params, or process after
            process failed.
    """
    params = load_params()
    config = load_yaml(SweepConfig, CONFIG_FILE)
    with storage_errors():
        sweep, searched, confirmed = open_sweep(params, config)
        if n_trials is None:
            n_trials = int(searched.user_attrs.get(TRIALS, DEFAULT_TRIALS))
        searched.set_user_attr(TRIALS, n_trials)
        print(
            f"{sweep.name}: {len(ended_trials(searched))} of {n_trials} trials have ended",
            flush=True,
        )
        train_all(sweep, searched, workers, n_trials=n_trials)
        wanted = values_to_confirm(searched, config, params.train.seed)
        if wanted:
            print(f"The best ones with {config.confirm.seeds} further seeds each:", flush=True)
        train_all(sweep, confirmed, workers, wanted=wanted)
        ranked = rank_confirmed_trials(searched, confirmed, config, params.train.seed)
        text = report.explain_no_result(searched)
        if ranked:
            text = report.format_confirmed_trials(ranked, config.metric)
        log_report(sweep, searched, text)
    changes = []
    if apply and ranked:
        changes = params_file.update_params_file(PARAMS_FILE, ranked[0].values)
    document = {
        "run_id": sweep.run_id,
        "confirmed": [trial._asdict() for trial in ranked],
        "applied": changes,
    }
    advice = ""
    if ranked and not apply:
        advice = "Write the first one into params.yaml: make sweep APPLY=1. "
    return document, "\n".join([text, *changes, f"{advice}MLflow run {sweep.run_id}."])


def open_sweep(params: Params, config: SweepConfig) -> tuple[Sweep, optuna.Study, optuna.Study]:
    """Return the sweep of these params, config, reviews and code, and its two studies.

    The values of the searched params do not tell sweeps apart. With the best ones written into
    `params.yaml`, it is still the same sweep.

    Returns:
        The sweep, the study that searches, and the study that confirms.

    Raises:
        UserError: a store cannot be used, or `data/fetch` is not of these params.
    """
    dataset = read_fetched_dataset(params.fetch)
    files.read_reviews(FETCH, "train")  # damaged ones are found before any process starts
    code = provenance.code_digests(CODE)
    search_config = config.model_dump(exclude={"confirm"}, exclude_none=True)
    about = AboutTrain(dataset=dataset, pad=params.pad, train=params.train)
    fixed = {name: value for name, value in about.flat_params().items() if name not in config.space}
    reviews = files.joint_digest(FETCH, files.array_names("train"))
    key = provenance.short_digest_of(
        {"params": fixed, "sweep": search_config, "code": code, "reviews": reviews}
    )
    study_name = f"sweep-{key}"
    # One process at a time creates the tables of a database.
    with parent_runs.parent_run_lock():
        run = tracking.find_or_create_parent_run(SWEEP_KEY, key, f"sweep {key[:8]}")
        searched = open_study(study_name, config)
        confirmed = open_study(f"{study_name}{CONFIRMED}", config)
    tracking.log_params(run, {f"sweep.{name}": value for name, value in search_config.items()})
    tags = {**provenance.provenance_tags(), "dataset": dataset.name}
    sweep = Sweep(study_name, run.run_id, params, config, dataset, code, tags)
    return sweep, searched, confirmed


def read_fetched_dataset(params: FetchParams) -> Dataset:
    """Return what `data/fetch` depends on.

    Raises:
        UserError: it is not of these params, or a file with texts was changed since.
    """
    dataset = read_about(FETCH, AboutFetch).dataset
    digests = {}
    if params.dataset == "table" and Path(params.table.train).is_file():
        digests["train_sha256"] = files.sha256(Path(params.table.train))
    if params.added_texts != NO_ADDED_TEXTS and Path(params.added_texts).exists():
        with downloads.local_added_tables(params.added_texts) as (_, digest):
            digests["added_texts_sha256"] = digest
    expected = flatten(describe_dataset(params, **digests), "fetch")
    # `data/fetch` has further digests, such as of texts at URLs.
    is_same = expected.items() <= flatten(dataset, "fetch").items()
    if dataset.name != params.name or not is_same:
        raise UserError(f"{FETCH} has other reviews than params.yaml. Run `dvc repro fetch`.")
    return dataset


def log_report(sweep: Sweep, searched: optuna.Study, text: str) -> None:
    """Log table and plots to the parent run, and end child runs that were left running."""
    try:
        run = tracking.get_run(sweep.run_id)
        tracking.end_runs_left_running(run, PARENT)
        tracking.log_text(run, f"{text}\n", TABLE_FILE)
        for name, figure in report.draw_plots(searched, sweep.config.metric).items():
            tracking.log_figure(run, figure, f"{name}.png")
    except (StoreError, OSError) as error:
        print(f"The report is not logged to MLflow: {first_line(error)}", file=sys.stderr)
