"""The prediction is a weighted mean of a network and of a linear model, trained separately."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentiment.backend import load_keras
from sentiment.explanation import explain, prefix_predictions
from sentiment.network import linear_component
from sentiment.network.model import save_model
from sentiment.network.progress import NO_PROGRESS
from sentiment.network.training import Training
from tests.conftest import inputs
from tests.sentiment.network.test_training import (
    CURVES,
    new_training,
    small_train_params,
    splits,
    validation_metrics,
)
from tests.sentiment.serving.test_pyfunc_model import load_model, write_package
from workflow.params import Params

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]
COMBINED = {"linear": {"max_features": 1000, "min_reviews": 1, "ending": 0.0, "share": 0.75}}


def log_odds(probabilities: Any) -> np.ndarray:
    p = np.asarray(probabilities, np.float64)[:, 0]
    return np.log(p / (1 - p))


def test_probability_is_the_weighted_mean_in_log_odds() -> None:
    training = new_training(small_train_params(**COMBINED))
    x, _ = splits()[1]
    component = new_training(small_train_params(**COMBINED).linear_component_params())
    component.fit(NO_PROGRESS, lambda _: None, verbose=False)
    read = load_keras().Model(training.model.input, training.model.get_layer("probability").output)
    expected = log_odds(read(x)) / 4 + 3 * log_odds(component.model(x)) / 4
    np.testing.assert_allclose(log_odds(training.model(x)), expected, atol=1e-4)


def test_network_is_trained_alone_and_validated_with_the_linear_component() -> None:
    changes = {"dropout": {"word": 0.3}}
    alone = new_training(small_train_params(**changes), accelerate=True)
    combined = new_training(small_train_params(**changes, **COMBINED), accelerate=True)
    updated = [variable.path for variable in combined.fitted_model.trainable_variables]
    assert updated == [variable.path for variable in alone.fitted_model.trainable_variables]
    expected = alone.fit(NO_PROGRESS, lambda _: None).history
    component = combined.model.get_layer(linear_component.LAYER_NAME)
    weights = component.get_weights()
    trained = combined.fit(NO_PROGRESS, lambda _: None).history
    x = splits()[1].x
    network = load_keras().Model(
        combined.model.input, combined.model.get_layer("probability").output
    )
    np.testing.assert_allclose(log_odds(network(x)), log_odds(alone.model(x)), atol=1e-5)
    for name in CURVES[:2]:
        assert trained[name].tolist() == pytest.approx(expected[name].tolist(), rel=1e-5)
    loss = validation_metrics(combined.fitted_model)["val_loss"]
    assert trained["val_loss"].iloc[-1] == pytest.approx(loss, rel=1e-5)
    assert abs(loss - expected["val_loss"].iloc[-1]) > 1e-4
    for weight, before in zip(component.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_resumed_training_restores_the_linear_component_and_does_not_train_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    params = small_train_params(**COMBINED, epochs=2)
    states: list[dict[str, np.ndarray]] = []
    whole = Training(params, inputs(20, 6), *splits())
    whole.fit(NO_PROGRESS, lambda progress: states.append(whole.capture(progress)), verbose=False)
    capsys.readouterr()
    resumed = Training(params, inputs(20, 6), *splits(), will_restore=True)
    resumed.fit(resumed.restore(states[0]), lambda _: None, verbose=False)
    assert "linear component" not in capsys.readouterr().out
    for one, other in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_kept_epoch_is_the_best_of_the_combined_model() -> None:
    params = small_train_params(
        **COMBINED, epochs=6, learning_rate=0.5, keep_best=True, class_weight="balanced"
    )
    training = Training(params, inputs(20, 6), *splits())
    result = training.fit(NO_PROGRESS, lambda _: None, verbose=False)
    losses = result.history["val_loss"].tolist()
    assert result.kept_epoch == losses.index(min(losses)) + 1
    assert validation_metrics(training.fitted_model)["val_loss"] == pytest.approx(
        min(losses), rel=1e-5
    )


def test_linear_component_is_saved_served_and_explained(
    small_params: Params, tmp_path: Path
) -> None:
    model = new_training(small_train_params(**COMBINED)).model
    x = splits()[1].x
    model.get_layer("probability").set_weights([np.zeros((4, 1)), np.zeros(1)])  # says nothing
    save_model(model, tmp_path / "saved.keras")
    loaded = load_keras().saving.load_model(tmp_path / "saved.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(x), model(x))
    served = load_model(write_package(model, small_params, tmp_path))
    explanation = explain(served, "a fine film")
    assert any(word.log_odds for word in explanation.words)
    assert prefix_predictions(served, "a fine film")[-1].probability == explanation.probability
