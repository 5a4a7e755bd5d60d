"""A linear model goes through the same stages as a network."""

import numpy as np
import pandas as pd
import pytest

from sentiment.explanation import explain, prefix_predictions
from stages import evaluate, train
from tests.conftest import Caller, curve, runs
from tests.project import Project
from workflow.registry import champion, packaging

pytestmark = pytest.mark.slow
TEXT = "the plot was not good"


def test_linear_model_is_trained_evaluated_registered_served_and_explained(
    project: Project, call: Caller
) -> None:
    project.change(train={"architecture": "linear"})
    call(train.main)
    call(evaluate.main)
    run = runs()[0]
    assert run.info.run_name.startswith("linear · len ")
    assert [epoch for epoch, _ in curve(run.info.run_id, "val_accuracy")] == [1, 2]
    assert {"test_accuracy", "gradient_reach"} <= run.data.metrics.keys()
    version = champion.evaluated_version(run.info.run_id)
    served = packaging.load_model(champion.model_uri_of(version))
    rows = pd.read_csv("data/evaluate/mistakes.csv", dtype={"probability": np.float32})
    predictions = served.predict(None, rows[["text"]])
    np.testing.assert_array_equal(predictions["probability"], rows["probability"])
    explanation = explain(served, TEXT)
    assert any(word.log_odds for word in explanation.words)
    assert prefix_predictions(served, TEXT)[-1].probability == explanation.probability
