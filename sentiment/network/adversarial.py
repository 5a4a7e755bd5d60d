"""Adversarial training: learn also from reviews whose word vectors are shifted to mislead.

Source: Miyato, Dai and Goodfellow 2017, *Adversarial Training Methods for Semi-Supervised Text
Classification*.
"""

import keras
import tensorflow as tf

from sentiment.gradients import split_at_vectors

TINY = 1e-12  # or a gradient of nothing but zeros would be divided by 0


def make_adversarial(model: "keras.Model", shift: float) -> None:
    """Let each training step of a compiled model learn from its reviews and from shifted ones.

    The shift of all vectors of a review is along the gradient of its loss; its length is in root
    mean squares of the embedding's values. The step of the instance is replaced, not its class:
    what is saved stays plain Keras.
    """
    embedding = model.get_layer("embedding")
    read, classify = split_at_vectors(model, model.get_layer("probability").output)
    tracker = next(metric for metric in model.metrics if metric.name == "loss")

    def step(data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        tokens, labels, counts = keras.utils.unpack_x_y_sample_weight(data)
        weights = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape(persistent=True) as tape:
            vectors = read(tokens, training=True)
            answers = classify([tokens, vectors], training=True)
            loss = model.compute_loss(tokens, labels, answers, counts)
            with tape.stop_recording():
                direction, *gradients = tape.gradient(loss, [vectors, *weights])
                length = shift * tf.sqrt(tf.reduce_mean(tf.square(embedding.embeddings)))
                norms = tf.norm(direction, axis=(1, 2), keepdims=True)  # of each review
                shifts = length * (direction / (norms + TINY))
            adversarial_probabilities = classify([tokens, vectors + shifts], training=True)
            misled = model.compute_loss(tokens, labels, adversarial_probabilities, counts)
        more = tape.gradient(misled, weights)
        both = [(tf.convert_to_tensor(a) + b) / 2 for a, b in zip(gradients, more, strict=True)]
        model.optimizer.apply(both, model.trainable_variables)
        tracker.update_state((loss + misled) / 2, sample_weight=tf.shape(tokens)[0])
        metrics: dict[str, tf.Tensor] = model.compute_metrics(tokens, labels, answers, counts)
        return metrics

    model.train_step = step
