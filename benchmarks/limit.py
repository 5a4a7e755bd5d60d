"""The machine's limit: how fast TensorFlow multiplies matrices, and how much an epoch needs."""

import statistics
import time

from sentiment.network.params import TrainParams

SIDE = 2048  # large enough for TensorFlow's full rate, small enough for the cache of a server
REPEATS = 20


def epoch_flops(params: TrainParams, learning: int, validation: int, length: int) -> int:
    """Count the multiplications and additions of the LSTM layers of a network in an epoch.

    One step multiplies its input (features) and the last state (units) by the kernels
    of four gates, 4 · units columns: (features + units) · 4 · units multiply-adds, two operations
    each. The backward pass needs each product twice more: the gradient of what went in, and that
    of the kernel. Gates, embedding, dense layer and optimizer are left out; they are under 1 %.

    Args:
        params: the `train` section.
        learning: reviews that are trained on, forward and backward.
        validation: reviews that are only predicted.
        length: tokens a review.
    """
    directions, columns = 1 + params.bidirectional, 4 * params.units
    features = [params.embedding_units, *[directions * params.units] * (params.layers - 1)]
    step = sum(2 * (width + params.units) * columns * directions for width in features)
    return (3 * learning + validation) * step * length


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
    from sentiment.backend import load_keras

    load_keras()
    print(f"{sgemm_rate() / 1e9:.1f} GFLOP/s")


if __name__ == "__main__":
    main()
