"""From predictions to a better champion, by the commands of the page of `make monitor`."""

import csv
import random
import shlex
import subprocess
from pathlib import Path

import mlflow
import pytest
import requests

from extras.evaluate_file import __main__ as evaluate_file
from extras.monitor import __main__ as monitor
from tests.conftest import Caller, Starter, run_stages, stand_in
from tests.extras.documented import documented
from tests.project import ROOT, Project, free_port, wait_for

pytestmark = pytest.mark.slow
PAGE = ROOT / "extras" / "monitor" / "README.md"
TARGETS = {1: "serve", 2: "monitor", 4: "evaluate-file", 5: "repro"}  # by the steps of the page
EASY = {"ironic_share": 0.0, "negated_share": 0.0, "label_noise": 0.0}
MODEL = "synthetic-labeled-sentiment"
# Words of texts from elsewhere. The word index lacks the last ones.
GOOD = "train letter scene rainy evening".split()
BAD = "war book paper leaves friend".split()
UNKNOWN = "kettle spout lid handle socket".split()


def elsewhere(count: int) -> dict[str, str]:
    """Return this many texts from elsewhere, with their labels."""
    rng = random.Random(0)
    texts: dict[str, str] = {}
    while len(texts) < count:
        label, own = rng.choice([("positive", GOOD), ("negative", BAD)])
        words = rng.choices(own, k=8) + rng.choices(UNKNOWN, k=4)
        texts[" ".join(rng.sample(words, len(words)))] = label
    return texts


def write(path: Path, texts: dict[str, str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *texts.items()])


def step(number: int) -> dict[str, str]:
    """Return the variables that a step of the page gives to `make`."""
    (line,) = documented(PAGE, f"\n{number}. ")
    _, target, *variables = shlex.split(line)
    assert target == TARGETS[number]
    return dict(pair.split("=") for pair in variables)


def test_champion_is_replaced_by_a_model_that_was_trained_on_texts_it_had_predicted(
    fresh: Project,
    start: Starter,
    call: Caller,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (fresh.path / "labeled").mkdir()
    write(fresh.path / "labeled" / "july.csv", {"a good plot": "positive", "so dull": "negative"})
    fresh.change(
        fetch={"added_texts": "labeled", "synthetic": EASY, "table": {"test_share": 0.5}},
        train={"epochs": 4, "learning_rate": 0.02},
    )
    run_stages(fresh)
    texts = elsewhere(500)
    port = free_port()
    server = start(fresh, "python", "-m", "tools.serve", SERVE_PORT=str(port), **step(1))
    wait_for(f"http://127.0.0.1:{port}/health")
    records = {"dataframe_records": [{"text": text} for text in texts]}
    requests.post(f"http://127.0.0.1:{port}/invocations", json=records, timeout=120)
    server.terminate()

    stand_in(fresh.path, monkeypatch)
    with monkeypatch.context() as patch:
        for name, value in step(2).items():
            patch.setenv(name, value)
        assert monitor.main.main([], standalone_mode=False) == monitor.ALARM_STATUS
    assert f"log, 500 texts for models:/{MODEL}/1: alarm" in capsys.readouterr().out
    (copy,) = documented(PAGE, "\n3. ")
    subprocess.run(["bash", "-c", copy], cwd=fresh.path, check=True)
    august = fresh.path / "labeled" / "august.csv"
    with august.open(encoding="utf-8", newline="") as file:
        drawn = [row["text"] for row in csv.DictReader(file)]
    assert len(drawn) == 200
    write(august, {text: texts[text] for text in drawn})

    evaluated = call.json(evaluate_file.main, **step(4))
    assert evaluated["metrics"]["accuracy"]["value"] < 0.75
    assert not step(5)
    retrained = run_stages(fresh)
    assert (
        f"Version 2 of {MODEL} is now the champion: better than the champion: McNemar" in retrained
    )
    version = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
    reason = version.tags["promote.reason"]
    assert "the champion has now been evaluated on this test set" in reason
