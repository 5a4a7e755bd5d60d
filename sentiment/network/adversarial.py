"""Train also on reviews with word vectors that are shifted to mislead the model.

Source: Miyato, Dai and Goodfellow 2017, *Adversarial Training Methods for Semi-Supervised Text
Classification*.
"""

import keras
import tensorflow as tf

from sentiment.gradients import split_at_vectors

TINY = 1e-12  # prevents a division by 0 if all gradients are 0


def make_adversarial(model: "keras.Model", shift: float) -> None:
    """Let each training step of a compiled model learn from its reviews and from shifted ones.

    The vectors of a review are shifted together, along the gradient of the review's loss. The step
    of the instance is replaced, not its class: what is saved stays plain Keras.

    Args:
        model: see `sentiment.network.model.build_model`.
        shift: length of the shift, in root mean squares of the embedding's values.
    """
    embedding = model.get_layer("embedding")
    read, classify = split_at_vectors(model, model.get_layer("probability").output)
    tracker = next(metric for metric in model.metrics if metric.name == "loss")

    def step(data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        tokens, labels, sample_weights = keras.utils.unpack_x_y_sample_weight(data)
        weights = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape(persistent=True) as tape:
            vectors = read(tokens, training=True)
            probabilities = classify([tokens, vectors], training=True)
            loss = model.compute_loss(tokens, labels, probabilities, sample_weights)
            with tape.stop_recording():
                direction, *gradients = tape.gradient(loss, [vectors, *weights])
                length = shift * tf.sqrt(tf.reduce_mean(tf.square(embedding.embeddings)))
                norms = tf.norm(direction, axis=(1, 2), keepdims=True)  # one a review
                shifts = length * (direction / (norms + TINY))
            adversarial_probabilities = classify([tokens, vectors + shifts], training=True)
            adversarial_loss = model.compute_loss(
                tokens, labels, adversarial_probabilities, sample_weights
            )
        adversarial_gradients = tape.gradient(adversarial_loss, weights)
        means = [
            (tf.convert_to_tensor(a) + b) / 2
            for a, b in zip(gradients, adversarial_gradients, strict=True)
        ]
        model.optimizer.apply(means, model.trainable_variables)
        tracker.update_state((loss + adversarial_loss) / 2, sample_weight=tf.shape(tokens)[0])
        metrics: dict[str, tf.Tensor] = model.compute_metrics(
            tokens, labels, probabilities, sample_weights
        )
        return metrics

    model.train_step = step
