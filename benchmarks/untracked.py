"""The stage `train` without its MLflow run: what tracking costs is the difference."""

import tempfile
from pathlib import Path

from stages import files, tracking, train
from stages.model import build_model
from stages.params import load_params


def main() -> None:
    params = load_params().train
    x, y = files.read_arrays(train.PAD, ["x_train", "y_train"])
    learning, validation = train.split(x, y, params.validation_split)
    train.prepare(params)
    model = build_model(params, files.read_about(train.PAD)["params"]["pad.num_words"], x.shape[1])
    train.accelerate(model, params)
    trained = train.fit(model, learning, validation, params, lambda *_: None)
    with tempfile.TemporaryDirectory() as folder:
        train.write(Path(folder), model, trained, tracking.Run("", "", "", ""))


if __name__ == "__main__":
    main()
