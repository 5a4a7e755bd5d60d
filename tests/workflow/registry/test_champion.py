"""Models of different code are asked side by side, each by the code that it brought."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from sentiment.network.model import build_model
from sentiment.padding import layout
from tests.conftest import inputs
from workflow import files
from workflow.params import Params
from workflow.registry import champion, packaging
from workflow.runs import store
from workflow.runs.logger import Run

CHANGED = """

_known_words = known_words


def known_words(content, *rest):
    return _known_words("fine", *rest)
"""


def logged(parts: packaging.Parts) -> str:
    """The address of the parts' served model, logged to a new run."""
    experiment_id = store.connect()
    client = mlflow.MlflowClient()
    run = client.create_run(experiment_id)
    model_id = packaging.log_model(client, Run(run.info.run_id, "", experiment_id, ""), parts)
    return f"models:/{model_id}"


@pytest.mark.usefixtures("backend")
def test_each_model_is_asked_by_its_own_code(
    root: Path, small_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "layout": asdict(replace(layout(small_params.pad), num_words=20)),
        "batch_size": 4,
    }
    model = packaging.Model(root / "model.keras", settings)
    parts = packaging.Parts([model], root / "index.json", threshold=0.5)
    build_model(small_params.train, inputs(20, small_params.pad.max_length)).save(model.path)
    files.write_json(parts.words, {"fine": 1, "dull": 2})
    ours = logged(parts)
    copies = [root / "copy" / path.relative_to(packaging.ROOT) for path in packaging.CODE]
    for path, copy in zip(packaging.CODE, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    with (root / "copy" / "sentiment" / "text.py").open("a", encoding="utf-8") as file:
        file.write(CHANGED)
    monkeypatch.setattr(packaging, "CODE", copies)
    monkeypatch.setattr(packaging, "ROOT", root / "copy")
    theirs = logged(parts)
    table = pd.DataFrame({"text": ["fine", "dull"]})
    for _ in range(2):  # in turns
        fine, dull = champion.load(ours).predict(None, table)["probability"]
        assert fine != dull
        always_fine = champion.load(theirs).predict(None, table)["probability"]
        assert always_fine.tolist() == [fine, fine]
