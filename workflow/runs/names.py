"""What MLflow's table of runs calls a training, and a group of them."""

from collections.abc import Mapping
from typing import Any

from sentiment.data.dataset import dataset_name
from sentiment.network.train_options import KERAS_FORGET_BIAS, Train

SEPARATOR = " · "


def run_name(params: Train, shaping: Mapping[str, Any], experiment: str | None) -> str:
    """A run's name: model, length, seed, and what is out of the ordinary.

    Args:
        params: the `train` section.
        shaping: everything that shapes the training, by dotted `params.yaml` names.
        experiment: name of the DVC experiment, if it is one.
    """
    return SEPARATOR.join(
        [*_parts(params, shaping).values(), *([experiment] if experiment else [])]
    )


def group_name(params: Train, shaping: Mapping[str, Any], count: int) -> str:
    """The name of a group of trainings under `count` seeds: that of its runs without the seed."""
    parts = _parts(params, shaping)
    del parts["seed"]
    return SEPARATOR.join([f"{count} seeds", *parts.values()])


def _parts(params: Train, shaping: Mapping[str, Any]) -> dict[str, str]:
    """The parts of a name, in order; those that are as usual are left out."""
    dataset, schedule = dataset_name(shaping), params.schedule
    network = params.cell if params.architecture == "recurrent" else params.architecture
    parts = {
        "model": f"{'bi-' if params.bidirectional else ''}{network}-{params.units}",
        "heads": params.heads and f"{params.heads} heads",
        "layers": params.layers > 1 and f"{params.layers} layers",
        "mask": params.mask_padding and "masked",
        "segment": params.segment_length and f"segments {params.segment_length}",
        "pooling": params.pooling != "last" and params.pooling,
        "forget": params.forget_bias != KERAS_FORGET_BIAS and f"forget {params.forget_bias:g}",
        "start": params.recurrent_initializer != "orthogonal" and params.recurrent_initializer,
        "vectors": params.embedding_initializer != "uniform" and params.embedding_initializer,
        "bigrams": params.bigrams.units and f"bigrams {params.bigrams.units}",
        "words": params.dropout.word and f"word dropout {params.dropout.word:g}",
        "smoothing": params.label_smoothing and f"smoothing {params.label_smoothing:g}",
        "weight": params.class_weight != "none" and params.class_weight,
        "adversarial": params.adversarial and f"adversarial {params.adversarial:g}",
        "schedule": schedule.kind != "constant" and schedule.kind,
        "warmup": schedule.warmup_epochs and f"warm-up {schedule.warmup_epochs:g}",
        "decay": params.weight_decay and f"decay {params.weight_decay:g}",
        "clip": params.clip_norm and f"clip {params.clip_norm:g}",
        "average": params.average and f"average {params.average:g}",
        "best": params.keep_best and "best epoch",
        "length": f"len {shaping['pad.max_length']}",
        "seed": f"seed {params.seed}",
        "dataset": dataset != "imdb" and dataset,
    }
    return {name: str(part) for name, part in parts.items() if part}
