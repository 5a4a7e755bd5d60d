"""Make the model of a run the champion, if its predictions are shown to be better.

The champion's version has a tag for each run and metric that was tested against it: the number of
the test. It is written before the test, and everything that follows is found again by the same
command. So a promotion that is repeated, or that was cut short, is the same test.
"""

from typing import TYPE_CHECKING, NamedTuple

from ruamel.yaml import YAML

from sentiment.errors import UserError
from sentiment.params import NOT_COMPARED
from sentiment.tracking import address, evaluations, models, registry, runs
from sentiment.tracking.address import shown_uri
from sentiment.tracking.runs import LOCK_ARTIFACT

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

    from sentiment.evaluation.comparison import Comparison, MetricName

MIN_COMMON_SHARE = 0.5  # of the champion's test texts
# Tags of a version
TESTED = "tested"  # tested.<metric>.<run id>: the number of a test against this champion
PROMOTED = "promoted"  # promoted.<what>: how the version became the champion
BY_TEST = "test"  # a value of promoted.by


class Outcome(NamedTuple):
    """What a promotion has done.

    Attributes:
        text: what to tell the user.
        is_champion: whether the model of the run is the champion now.
    """

    text: str
    is_champion: bool


def promote_run(
    client: "MlflowClient", run: "Run", metric: "MetricName", is_forced: bool
) -> Outcome:
    """Make the model of a run the champion if it is better than the present one.

    Args:
        is_forced: whether to make it the champion without a test.

    Raises:
        StoreError: the store cannot be used.
        UserError: the run cannot be promoted, or not be compared with the champion.
    """
    from sentiment.evaluation import comparison

    with address.store_errors():
        name = name_of_version(run)
        model = check_candidate(client, run)
        champion = registry.find_champion(client, name)
        if champion is not None and champion.run_id == run.info.run_id:
            return Outcome(f"Version {champion.version} of {name} is the champion already.", True)
        lines = []
        if champion is None:
            reasons = {"by": "no other champion"}
            became = "is the champion now. There was none to compare it with"
        elif is_forced:
            reasons = {"by": "--force"}
            became = "is the champion now, without a test"
        else:
            refuse_repetition(client, run, champion)
            compared = run_test(client, run, champion, metric)
            lines.append(comparison.describe_difference(compared.difference))
            lines.append(comparison.describe_test(compared))
            if not compared.is_better:
                lines.append(f"Version {champion.version} of {name} stays the champion.")
                return Outcome("\n".join(lines), False)
            reasons = describe_promotion(compared, champion)
            became = "is the champion now"
        version = make_champion(client, name, run, model, reasons)
        lines.append(f"Version {version.version} of {name} {became}.")
        lines.append(describe_undo(client, name, champion))
        return Outcome("\n".join(lines), True)


def explore(client: "MlflowClient", run: "Run", metric: "MetricName") -> str:
    """Return the difference between a run and the champion, without a test.

    Raises:
        StoreError: the store cannot be used.
        UserError: there is no champion, or the run cannot be compared with it.
    """
    from sentiment.evaluation import comparison

    with address.store_errors():
        name = name_of_version(run)
        check_candidate(client, run)
        champion = registry.find_champion(client, name)
        if champion is None:
            return f"There is no champion of {name}. The first one needs no test."
        tables = common_predictions(client, run, champion)
    return comparison.describe_difference(comparison.compute_difference(*tables, metric))


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


def refuse_repetition(client: "MlflowClient", run: "Run", champion: "ModelVersion") -> None:
    """Check that a run differs from the champion's training in more than the seed.

    If repetitions were tested, the luckiest of several seeds would win.

    Raises:
        UserError: the run has the champion's params and code.
    """
    champion_run = find_champion_run(client, run, champion)
    params = run.data.params
    champion_params = champion_run.data.params
    names = params.keys() | champion_params.keys()
    differing = {name for name in names if params.get(name) != champion_params.get(name)}
    if differing - {*NOT_COMPARED}:
        return
    if read_train_dependencies(client, run) != read_train_dependencies(client, champion_run):
        return
    if differing:
        reason = "with another seed. If seeds were compared, the luckiest one would win."
    else:
        reason = "with the same seed, so both models are equally good."
    raise UserError(
        f"Run {run.info.run_id} repeats the training of the champion, version {champion.version}, "
        f"{reason} To make it the champion anyway: sentiment promote --force {run.info.run_id}"
    )


def read_train_dependencies(client: "MlflowClient", run: "Run") -> dict[str, str]:
    """Return the digest of each dependency of the stage `train`, by the dvc.lock of a run.

    Returns:
        {} if the run has no dvc.lock, because its stages were run without DVC.
    """
    import mlflow

    logged = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    if LOCK_ARTIFACT not in logged:
        return {}
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{LOCK_ARTIFACT}")
    stages = YAML(typ="safe", pure=True).load(text)["stages"]
    return {entry["path"]: entry["md5"] for entry in stages["train"]["deps"]}


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
    """Return the error for a champion that no run can be tested against."""
    return UserError(
        f"The champion, version {champion.version}, cannot be compared: {reason} To promote "
        f"without a test: sentiment promote --force {run.info.run_id}"
    )


def common_predictions(
    client: "MlflowClient", run: "Run", champion: "ModelVersion"
) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return the predictions of a run and of the champion for the texts in both test sets.

    Raises:
        UserError: predictions are missing or damaged, the champion has labels that the run does
            not have, or too few texts are common.
    """
    from sentiment.evaluation.comparison import select_common_texts, unknown_labels

    champion_run = find_champion_run(client, run, champion)
    candidate_predictions = evaluations.download_predictions(client, run.info.run_id)
    try:
        champion_predictions = evaluations.download_predictions(client, champion_run.info.run_id)
    except UserError as error:
        raise incomparable_error(run, champion, str(error)) from None
    unknown = unknown_labels(candidate_predictions, champion_predictions)
    if unknown:
        reason = f"it predicts {', '.join(unknown)}, which the run has no label for."
        raise incomparable_error(run, champion, reason)
    common = select_common_texts(candidate_predictions, champion_predictions)
    if len(common[0]) < MIN_COMMON_SHARE * len(champion_predictions):
        raise UserError(
            f"Only {len(common[0]):,} of the champion's {len(champion_predictions):,} test texts "
            f"are in the test set of run {run.info.run_id}, so they cannot be compared. To promote "
            f"without a test: sentiment promote --force {run.info.run_id}"
        )
    return common


def run_test(
    client: "MlflowClient", run: "Run", champion: "ModelVersion", metric: "MetricName"
) -> "Comparison":
    """Test whether a run and the champion are equally good, and count the test.

    Raises:
        UserError: they cannot be compared, see `common_predictions`.
    """
    from sentiment.evaluation import comparison

    tables = common_predictions(client, run, champion)
    number = count_test(client, champion, run.info.run_id, metric)
    return comparison.compare_with_champion(*tables, metric, number)


def count_test(
    client: "MlflowClient", champion: "ModelVersion", run_id: str, metric: "MetricName"
) -> int:
    """Return the number of a test against the champion, from 1, and note it in a tag."""
    tag = f"{TESTED}.{metric}.{run_id}"
    earlier = [name for name in champion.tags if name.startswith(f"{TESTED}.")]
    number = int(champion.tags.get(tag, len(earlier) + 1))
    client.set_model_version_tag(champion.name, champion.version, tag, str(number))
    return number


def describe_promotion(compared: "Comparison", champion: "ModelVersion") -> dict[str, str]:
    """Return how a version became the champion: values of tags, by their names after `PROMOTED`."""
    difference = compared.difference
    return {
        "by": BY_TEST,
        "against": f"version {champion.version}",
        "metric": difference.metric,
        "value": f"{difference.candidate:.4f}",
        "champion_value": f"{difference.champion:.4f}",
        "texts": str(difference.texts),
        "p_value": f"{compared.p_value:.3g}",
        "level": f"{compared.level:.3g}",
        "test_number": str(compared.number),
    }


def make_champion(
    client: "MlflowClient", name: str, run: "Run", model: "LoggedModel", reasons: dict[str, str]
) -> "ModelVersion":
    """Set the alias `champion` on the version of a run, which is made if there is none.

    Args:
        name: the name of the registered model.
        model: the model of the run.
        reasons: see `describe_promotion`.
    """
    version = registry.find_version(client, name, run.info.run_id)
    if version is None:
        version = registry.register_version(client, name, run, model)
    earlier = [tag for tag in version.tags if tag.startswith(f"{PROMOTED}.")]
    # The tags of an earlier promotion by a test stay if the version returns without a test.
    if reasons["by"] == BY_TEST or not earlier:
        for tag in earlier:
            client.delete_model_version_tag(name, version.version, tag)
        for ending, value in reasons.items():
            client.set_model_version_tag(name, version.version, f"{PROMOTED}.{ending}", value)
    client.set_registered_model_alias(name, registry.CHAMPION, version.version)
    return version


def describe_undo(client: "MlflowClient", name: str, before: "ModelVersion | None") -> str:
    """Return the line with the command that undoes a promotion.

    Args:
        before: the champion before.
    """
    if before is not None:
        return f"To undo this: sentiment promote --force {before.run_id}"
    code = (
        f'import mlflow; mlflow.MlflowClient("{shown_uri(client.tracking_uri)}")'
        f'.delete_registered_model_alias("{name}", "{registry.CHAMPION}")'
    )
    return f"To undo this: python -c '{code}'"
