"""A model card has the model, its metrics and limits, and the decision about it."""

import re

import mlflow
import numpy as np
import pandas as pd
import pytest

from sentiment.data.params import Dataset, DatasetTable
from sentiment.evaluation import metrics
from sentiment.evaluation.metrics import Predictions
from tests.project import TRANSFORMER, merge_changes
from tests.workflow.registry.submitting import NAME, Submitter
from workflow.about import AboutEvaluate
from workflow.outputs import TEST_DIGEST, TRAINING_DIGEST
from workflow.params import Params, validate_params
from workflow.registry import model_card, versions
from workflow.registry.model_card import SPACED_COLUMNS, EvaluatedModel, SplitSizes, describe_model
from workflow.tracking import Run

LENGTHS = [100, 200]


@pytest.fixture
def model(default_params: Params) -> EvaluatedModel:
    """Return a network that is right about 8 of 10 short reviews and about 5 of 10 long ones.

    Half of the reviews of each length are positive.
    """
    predictions = pd.DataFrame(
        {
            "review": range(20),
            "actual": ["positive", "negative"] * 10,
            "predicted": ["positive", "negative"] * 4
            + ["negative", "positive"]
            + ["positive"] * 10,
            "words": np.repeat([50, 150], 10),
            "seen_in_training": np.arange(20) < 2,
        }
    )
    probability = np.where(predictions["predicted"] == "positive", 0.9, 0.1)
    predictions = predictions.assign(probability=probability)
    evaluate = default_params.evaluate.model_copy(update={"length_buckets": LENGTHS})
    lengths = metrics.accuracy_by_length(predictions, LENGTHS)
    return EvaluatedModel(
        name="lstm-64 · len 200 · seed 42",
        about=AboutEvaluate(
            dataset=Dataset(dataset="imdb"),
            evaluate=evaluate,
            digests={},
            pad=default_params.pad,
            train=default_params.train,
        ),
        digests={TEST_DIGEST: "a" * 64, TRAINING_DIGEST: "b" * 64},
        layouts=[{"max_length": 200, "truncating": "pre"}],
        parameters=1_234_567,
        sizes=SplitSizes(20_000, 5_000),
        metrics=metrics.test_metrics(
            Predictions(predictions, evaluate.calibration_bins),
            metrics.confusion_matrix(predictions),
            lengths,
        ),
        predictions=predictions,
        lengths=lengths,
        profile={"statistics": {"truncated": {"mean": 0.4444}, "unknown": {"mean": 0.0222}}},
    )


def model_text(model: EvaluatedModel, default_params: Params, **train: object) -> str:
    """Return the section about the model, if `train` has these params."""
    document = merge_changes(default_params.model_dump(), {"train": train})
    params = validate_params(document, "params.yaml")
    about = model.about.model_copy(update={"train": params.train})
    return section(describe_model(model._replace(about=about)), "Model")


def section(card: str, title: str) -> str:
    """Return a section of a card, its tables without the space between columns."""
    _, _, after = card.partition(f"### {title}\n\n")
    return after.partition("\n\n### ")[0].replace(SPACED_COLUMNS, " | ")


def test_card_says_what_the_model_is_and_how_it_was_trained(model: EvaluatedModel) -> None:
    assert section(describe_model(model), "Model") == (
        "**lstm-64 · len 200 · seed 42**: LSTM (1 layer, 64 units) on word vectors of 64 values, "
        "1,234,567 parameters. Trained with adam, learning rate 0.001, batches of 64 reviews, up "
        "to 5 epochs, seed 42. The label is positive if the probability is above 0.5. The run has "
        "all params."
    )


@pytest.mark.parametrize(
    ("train", "kind"),
    [
        (
            {"cell": "gru", "bidirectional": True, "layers": 2, "linear": {"share": 0.5}},
            "bidirectional GRU (2 layers, 64 units) on word vectors of 64 values and linear model "
            "of n-grams of up to 3 words (share 0.5), ",
        ),
        (TRANSFORMER, "transformer (1 layer, 2 heads) on word vectors of 64 values, "),
        ({"architecture": "linear"}, "linear model of n-grams of up to 3 words, "),
    ],
)
def test_card_names_each_architecture(
    model: EvaluatedModel, default_params: Params, train: dict[str, object], kind: str
) -> None:
    assert f": {kind}1,234,567 parameters." in model_text(model, default_params, **train)


def test_card_of_an_ensemble_has_the_number_of_its_members(model: EvaluatedModel) -> None:
    about = model.about.model_copy(update={"train": None, "pad": None})
    layouts = [{"max_length": 200, "truncating": "pre"}, {"max_length": 500, "truncating": "post"}]
    card = describe_model(model._replace(about=about, layouts=layouts))
    assert ": ensemble of 2 models (weighted mean of their log-odds), 1,234,567" in card
    assert "Trained with" not in card
    assert "| validation | 5,000 | not in any member's training |" in section(card, "Data")
    assert "- Only 500 tokens of a text are read." in card


def test_card_has_the_dataset_with_digests_and_the_size_of_each_split(
    model: EvaluatedModel,
) -> None:
    assert section(describe_model(model), "Data") == (
        "| split | reviews | note |\n| --- | --- | --- |\n"
        "| training | 20,000 |  |\n| validation | 5,000 |  |\n"
        "| test | 20 | 2 of them also occur in training |\n\n"
        "Dataset `imdb`. SHA-256 of its reviews, first 12 characters: test `aaaaaaaaaaaa`, "
        "training and validation `bbbbbbbbbbbb`."
    )
    unknown = model._replace(digests={TEST_DIGEST: "a" * 64})
    assert "first 12 characters: test `aaaaaaaaaaaa`.\n\n###" in describe_model(unknown)


def test_card_has_metrics_and_intervals_of_proportions(model: EvaluatedModel) -> None:
    text = section(describe_model(model), "Test metrics")
    assert "| accuracy | 0.6500 | 0.4329 to 0.8188 |\n" in text
    assert "| precision | 0.6000 | 0.3575 to 0.8018 |\n" in text
    assert re.search(r"\| ROC AUC \| 0\.\d{4} \|  \|\n", text)
    assert re.search(r"\| calibration error \| 0\.\d{4} \|  \|\n", text)
    assert "in 10 groups by probability" in text


def test_card_leaves_out_a_metric_that_is_not_defined(model: EvaluatedModel) -> None:
    values = dict(model.metrics)
    del values["test_accuracy_unseen"]
    assert "unseen" not in describe_model(model._replace(metrics=values))


def test_card_has_the_accuracy_by_length(model: EvaluatedModel) -> None:
    assert section(describe_model(model), "Accuracy by length") == (
        "| words | test reviews | accuracy | 95% confidence interval |\n"
        "| --- | --- | --- | --- |\n"
        "| 1-100 | 10 | 0.8000 | 0.4902 to 0.9433 |\n"
        "| 101-200 | 10 | 0.5000 | 0.2366 to 0.7634 |"
    )


def test_interval_of_a_group_by_length_is_that_of_its_whole_number_of_reviews(
    model: EvaluatedModel,
) -> None:
    lengths = pd.DataFrame({"words": ["1-100"], "reviews": [100], "accuracy": [29 / 100]})
    text = section(describe_model(model._replace(lengths=lengths)), "Accuracy by length")
    assert text.endswith("| 1-100 | 100 | 0.2900 | 0.2101 to 0.3854 |")


def test_card_has_the_limits_of_text_share_and_length(model: EvaluatedModel) -> None:
    text = section(describe_model(model), "Limits")
    assert "IMDB's movie reviews in English, from 2011 and earlier. " in text
    assert "- 50.0% of the test reviews are positive." in text
    assert (
        "- Only the last 200 tokens of a text are read. 44.4% of the test reviews are longer. On "
        "average, 2.2% of a test review's words are unknown."
    ) in text
    assert "a champion's test accuracy is slightly optimistic" in text


@pytest.mark.parametrize(
    ("dataset", "scope"),
    [
        (
            Dataset(dataset="imdb", added_texts="labeled"),
            "from 2011 and earlier and on `labeled`. ",
        ),
        (Dataset(dataset="synthetic"), "All reviews are synthetic. "),
        (
            Dataset(dataset="table", table=DatasetTable(train="shop.csv")),
            "Evaluated on texts of `shop.csv`. Other texts were not tried.",
        ),
    ],
)
def test_scope_of_a_card_is_that_of_its_dataset(
    model: EvaluatedModel, dataset: Dataset, scope: str
) -> None:
    about = model.about.model_copy(update={"dataset": dataset})
    assert scope in section(describe_model(model._replace(about=about)), "Limits")


def test_description_is_no_longer_than_the_database_of_mlflow_allows(model: EvaluatedModel) -> None:
    lengths = pd.concat([model.lengths] * 200)
    card = describe_model(model._replace(lengths=lengths))
    description = model_card.describe_version("champion", "the promotion rule", "better", card)
    assert len(description) == 5000
    assert "### Test metrics" in description


def description_of(run: Run) -> str:
    return str(versions.versions_of_run(run.run_id)[0].description)


@pytest.mark.usefixtures("client")
def test_description_of_a_version_is_the_decision_and_its_card(submit: Submitter) -> None:
    assert description_of(submit(10)) == (
        "### Decision\n\nAfter the evaluation: **champion**, by the promotion rule. Reason: there "
        "was none before. Later decisions are in the tags `promote.*`.\n\n"
        "### Model\n\n10 of 20 are right"
    )
    equal = description_of(submit(10))
    assert "**not promoted**, by the promotion rule. Reason: not shown to be better" in equal


def test_version_that_is_evaluated_again_has_the_card_of_its_present_evaluation(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    run = submit(10)
    submit.register(run, 12)
    assert description_of(run).endswith("12 of 20 are right")
    assert len(client.search_model_versions(f"name = '{NAME}'")) == 1


def test_version_that_is_champion_without_a_decision_is_described_too(
    client: mlflow.MlflowClient, submit: Submitter
) -> None:
    run = submit(10)
    for tag in ("promote.decision", "promote.by", "promote.reason"):
        client.delete_model_version_tag(NAME, "1", tag)
    submit.register(run, 10)
    reason = "**champion**, by a person. Reason: the alias was moved in MLflow."
    assert reason in description_of(run)
