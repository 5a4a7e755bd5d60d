"""The machine's limit: how fast TensorFlow multiplies matrices, and how much an epoch needs."""

import statistics
import time

SIDE = 2048  # large enough for TensorFlow's full rate, small enough for the cache of a server
REPEATS = 20


def epoch_flops(learning: int, validation: int, length: int, features: int, units: int) -> int:
    """Count an LSTM's multiplications and additions in an epoch.

    One step multiplies its input (features) and the last state (units) by the kernels of four
    gates, 4 · units columns: (features + units) · 4 · units multiply-adds, two operations each.
    The backward pass needs each product twice more: the gradient of what went in, and that of the
    kernel. Gates, embedding, dense layer and optimizer are left out; they are under 1 %.

    Args:
        learning: reviews that are trained on, forward and backward.
        validation: reviews that are only predicted.
        length: tokens a review.
        features: size of a word's vector.
        units: size of the recurrent state.
    """
    forward = 2 * (features + units) * 4 * units * length
    return (3 * learning + validation) * forward


def sgemm_rate() -> float:
    """Measure the rate of a large float32 matrix product, all cores, in FLOP/s."""
    import tensorflow as tf

    left, right = tf.random.normal((SIDE, SIDE)), tf.random.normal((SIDE, SIDE))
    product = tf.function(tf.matmul)
    seconds = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        product(left, right).numpy()
        seconds.append(time.perf_counter() - begun)
    return 2 * SIDE**3 / statistics.median(seconds)


def main() -> None:
    from sentiment.serving.backend import load_keras

    load_keras()
    print(f"{sgemm_rate() / 1e9:.1f} GFLOP/s")


if __name__ == "__main__":
    main()
