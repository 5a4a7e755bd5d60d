"""Make the model of a run the champion, if its predictions are shown to be better, and undo it."""

from typing import TYPE_CHECKING, NamedTuple

from sentiment.errors import UserError
from sentiment.tracking import address, evaluations, models, registry, runs

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.evaluation.comparison import MetricName

MIN_COMMON_SHARE = 0.5  # of the champion's test texts
# Tags of a version that was promoted
BEFORE = "promoted.before"  # the version that was the champion before, or "" if there was none
REASON = "promoted.reason"
UNDO = "To undo this: `sentiment promote --undo`"


class Outcome(NamedTuple):
    """What a promotion has done.

    Attributes:
        text: what to tell the user.
        is_better: whether the model of the run is the champion now or, in a dry run, would be.
    """

    text: str
    is_better: bool


class Comparison(NamedTuple):
    """A comparison of a run with the champion.

    Attributes:
        lines: what to tell the user.
        is_better: whether the run is shown to be better.
        reason: the difference, as a tag of the version has it.
    """

    lines: list[str]
    is_better: bool
    reason: str


def promote_run(
    client: "MlflowClient", run: "Run", metric: "MetricName", is_forced: bool, is_dry_run: bool
) -> Outcome:
    """Make the model of a run the champion if it is better than the present one.

    Args:
        is_forced: whether to make it the champion in any case.
        is_dry_run: whether to leave the champion as it is in any case.

    Raises:
        StoreError: the store cannot be used.
        UserError: the run cannot be promoted, or not be compared with the champion.
    """
    with address.store_errors():
        name = name_of_version(run)
        model = check_candidate(client, run)
        champion = registry.find_champion(client, name)
        if champion is not None and champion.run_id == run.info.run_id:
            return Outcome(f"Version {champion.version} of {name} is the champion already.", True)
        lines = []
        if champion is None:
            lines.append(f"There is no champion of {name} to compare the model with.")
            reason = "There was no champion."
        elif is_forced:
            lines.append("The model was not compared with the champion, because of --force.")
            reason = "--force"
        else:
            predictions = read_both_predictions(client, run, champion)
            compared = compare_with_champion(run, champion, predictions, metric)
            lines += compared.lines
            evaluated = count_evaluated(client, run)
            lines.append(f"Finished runs that were evaluated on this test set: {evaluated}")
            if not compared.is_better:
                lines.append(f"Version {champion.version} of {name} stays the champion.")
                return Outcome("\n".join(lines), False)
            reason = compared.reason
        if is_dry_run:
            lines.append("Without --dry-run, the model would be the champion now.")
            return Outcome("\n".join(lines), True)
        version = make_champion(client, name, run, model, champion, reason)
        lines.append(f"Version {version.version} of {name} is the champion now.")
        lines.append(UNDO)
        return Outcome("\n".join(lines), True)


def undo_promotion(client: "MlflowClient", name: str) -> str:
    """Make the version the champion that was the champion before, and return what was done.

    Args:
        name: the name of the registered model.

    Raises:
        StoreError: the store cannot be used, or it has no longer the version before.
        UserError: there is no champion, or it was not promoted by this project.
    """
    with address.store_errors():
        champion = registry.find_champion(client, name)
        if champion is None or BEFORE not in champion.tags:
            raise UserError(f"There is no promotion of {name} to undo.")
        before = champion.tags[BEFORE]
        if before:
            client.set_registered_model_alias(name, registry.CHAMPION, before)
            done = f"Version {before} of {name} is the champion again."
        else:
            client.delete_registered_model_alias(name, registry.CHAMPION)
            done = f"{name} has no champion now, as before."
        client.delete_model_version_tag(name, champion.version, BEFORE)
    return f"{done} Version {champion.version} is kept."


def name_of_version(run: "Run") -> str:
    """Return the name of the registered model that a run's model would be a version of.

    Raises:
        UserError: the run is not a training of this project.
    """
    dataset = run.data.tags.get(runs.DATASET)
    if dataset is None:
        raise UserError(f"Run {run.info.run_id} is not a training. Name the run of a training.")
    return registry.registered_name(dataset)


def check_candidate(client: "MlflowClient", run: "Run") -> "LoggedModel":
    """Return the model of a run that can be promoted.

    Raises:
        UserError: the run is not finished, or has no model or no predictions.
    """
    run_id = run.info.run_id
    if run.info.status != "FINISHED":
        raise UserError(
            f"Run {run_id} is {run.info.status}, not FINISHED. Finish it with `dvc repro`, or name "
            "another run."
        )
    model = models.find_model(client, run)
    if model is None:
        raise UserError(
            f"Run {run_id} has no model. Run `sentiment log` in the folder that has its results, "
            "or name another run."
        )
    evaluations.check_predictions(client, run_id)
    return model


def find_champion_run(client: "MlflowClient", run: "Run", champion: "ModelVersion") -> "Run":
    """Return the run of the champion.

    Raises:
        UserError: the store lacks it, or a person registered the version without a run.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(str(champion.run_id))
    except MlflowException as error:
        if error.error_code not in registry.NO_SUCH_VERSION:
            raise
        raise incomparable_error(run, champion, "MLflow has no run of it.") from None


def incomparable_error(run: "Run", champion: "ModelVersion", reason: str) -> UserError:
    """Return the error for a champion that a run cannot be compared with."""
    return UserError(
        f"The champion, version {champion.version}, cannot be compared: {reason} To promote the "
        f"run all the same: `sentiment promote --force {run.info.run_id[:8]}`"
    )


def read_both_predictions(
    client: "MlflowClient", run: "Run", champion: "ModelVersion"
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return the predictions of the champion and of a run.

    Raises:
        UserError: predictions are missing or damaged, or the champion has labels that the run does
            not have.
    """
    from sentiment.evaluation.comparison import unknown_labels

    champion_run = find_champion_run(client, run, champion)
    of_run = evaluations.download_predictions(client, run.info.run_id)
    try:
        of_champion = evaluations.download_predictions(client, champion_run.info.run_id)
    except UserError as error:
        raise incomparable_error(run, champion, str(error)) from None
    unknown = unknown_labels(of_champion, of_run)
    if unknown:
        reason = f"it predicts {', '.join(unknown)}, which the run has no label for."
        raise incomparable_error(run, champion, reason)
    return of_champion, of_run


def compare_with_champion(
    run: "Run",
    champion: "ModelVersion",
    predictions: "tuple[pd.DataFrame, pd.DataFrame]",
    metric: "MetricName",
) -> Comparison:
    """Compare a run with the champion on the texts in both test sets, by the labels of the run.

    Args:
        predictions: of the champion and of the run.

    Raises:
        UserError: too few texts are common.
    """
    from sentiment.evaluation import comparison
    from sentiment.evaluation.metrics import METRICS

    of_champion, of_run = comparison.select_common_texts(*predictions)
    texts = len(of_run)
    if texts < MIN_COMMON_SHARE * len(predictions[0]):
        reason = f"only {texts:,} of its {len(predictions[0]):,} test texts are in the run's."
        raise incomparable_error(run, champion, reason)
    compared = comparison.compare_predictions(of_champion, of_run, metric)
    verdict = comparison.find_verdict(compared.strict_interval)
    values = (
        f"{METRICS[metric].title} {compared.b:.4f}, champion (version {champion.version}) "
        f"{compared.a:.4f}"
    )
    difference = comparison.describe_difference(compared)
    lines = [f"{values}, on the {texts:,} texts in both test sets", difference]
    if (of_champion["predicted"].array == of_run["predicted"].array).all():
        lines.append("The same model: both predict the same label for every text.")
    else:
        lines.append(comparison.describe_verdict(compared))
    relabeled = int((of_champion["actual"].array != of_run["actual"].array).sum())
    if relabeled:
        lines.append(
            f"{relabeled:,} of these texts have another label in the run, by which both are judged."
        )
    is_same_test_set = not relabeled and texts == len(predictions[0]) == len(predictions[1])
    if verdict == comparison.NOT_SHOWN and not is_same_test_set:
        lines.append(
            "If the data are better now, promote it all the same: "
            f"`sentiment promote --force {run.info.run_id[:8]}`"
        )
    return Comparison(lines, verdict == comparison.BETTER, f"{values}: {difference}")


def count_evaluated(client: "MlflowClient", run: "Run") -> int:
    """Return how many finished runs were evaluated on the test set of a run."""
    digest = run.data.tags.get(runs.TEST_SET_DIGEST, "")
    pattern = f"attributes.status = 'FINISHED' AND tags.{runs.TEST_SET_DIGEST} = '{digest}'"
    found = runs.search_runs(client, pattern)
    return sum("test_accuracy" in each.data.metrics for each in found)


def make_champion(
    client: "MlflowClient",
    name: str,
    run: "Run",
    model: "LoggedModel",
    before: "ModelVersion | None",
    reason: str,
) -> "ModelVersion":
    """Set the alias `champion` on the version of a run, which is made if there is none.

    Args:
        name: the name of the registered model.
        model: the model of the run.
        before: the present champion.
        reason: why it is promoted, for the tag.
    """
    version = registry.find_version(client, name, run.info.run_id)
    if version is None:
        version = registry.register_version(client, name, run, model)
    tags = {BEFORE: str(before.version) if before else "", REASON: reason}
    for tag, value in tags.items():
        client.set_model_version_tag(name, version.version, tag, value)
    client.set_registered_model_alias(name, registry.CHAMPION, version.version)
    return version
