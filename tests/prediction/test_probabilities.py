"""Outputs become probabilities of all labels, and one of the labels is predicted."""

import numpy as np

from sentiment.prediction.probabilities import label_probabilities, predicted_indices


def test_a_single_output_is_the_probability_of_the_second_label() -> None:
    outputs = np.array([[0.25], [1.0]], np.float32)
    probabilities = label_probabilities(outputs)
    assert probabilities.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert probabilities.dtype == np.float32


def test_several_outputs_are_the_probabilities() -> None:
    outputs = np.array([[0.25, 0.5, 0.25]], np.float32)
    assert label_probabilities(outputs).tolist() == outputs.tolist()


def test_the_second_of_two_labels_is_predicted_above_the_threshold() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [0.125, 0.875]], np.float32)
    assert predicted_indices(probabilities, 0.75).tolist() == [0, 0, 1]


def test_the_most_probable_of_more_labels_is_predicted() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]], np.float32)
    assert predicted_indices(probabilities, 0.9).tolist() == [1, 0]
