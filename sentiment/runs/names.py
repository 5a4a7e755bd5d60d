"""What MLflow's table of runs calls a training, and a group of them."""

from collections.abc import Mapping
from typing import Any

from sentiment.params import KERAS_FORGET_BIAS, Train

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
    dataset = shaping["fetch.dataset"]
    return {
        "model": f"{'bi-' if params.bidirectional else ''}{params.cell}-{params.units}",
        **({"pooling": params.pooling} if params.pooling != "last" else {}),
        **(
            {"forget": f"forget {params.forget_bias:g}"}
            if params.forget_bias != KERAS_FORGET_BIAS
            else {}
        ),
        **({"start": start} if (start := params.recurrent_initializer) != "orthogonal" else {}),
        **({"clip": f"clip {params.clip_norm:g}"} if params.clip_norm else {}),
        "length": f"len {shaping['pad.max_length']}",
        "seed": f"seed {params.seed}",
        **({"dataset": dataset} if dataset != "imdb" else {}),
    }
