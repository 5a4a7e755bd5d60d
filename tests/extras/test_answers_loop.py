"""The way from answers to a better champion, by the commands of docs/answers.md."""

import csv
import json
import random
import shlex
import subprocess
from pathlib import Path

import requests
from selenium import webdriver
from selenium.webdriver.common.by import By

from tests.browser import keep_screenshot, open_page
from tests.conftest import Starter
from tests.extras.documented import documented
from tests.project import QUIET, ROOT, Project, free_port, wait_for

MODULES = {"evaluate": "extras.evaluate_file", "monitor": "extras.monitor"}  # others are in tools
EASY = {"ironic_share": 0.0, "negated_share": 0.0, "label_noise": 0.0}
MODEL = "synthetic-answers-sentiment"
# in texts from elsewhere: words of both labels, and such as the index lacks
GOOD, BAD = "train letter scene rainy evening".split(), "war book paper leaves friend".split()
UNHEARD = "kettle spout lid handle socket".split()


def elsewhere(count: int) -> dict[str, str]:
    """So many texts from elsewhere, with their labels."""
    rng, texts = random.Random(0), dict[str, str]()
    while len(texts) < count:
        label, own = rng.choice([("positive", GOOD), ("negative", BAD)])
        words = rng.choices(own, k=8) + rng.choices(UNHEARD, k=4)
        texts[" ".join(rng.sample(words, len(words)))] = label
    return texts


def write(path: Path, texts: dict[str, str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *texts.items()])


def step(number: int) -> tuple[list[str], dict[str, str]]:
    """The command of a step of the page, without make, and its variables."""
    (line,) = documented(f"\n{number}. ", ROOT / "docs" / "answers.md")
    _, target, *variables = shlex.split(line)
    module = MODULES.get(target, f"tools.{target}")
    return ["python", "-m", module], dict(pair.split("=") for pair in variables)


def test_a_champion_is_replaced_by_one_that_learned_from_what_it_answered(
    fresh: Project, start: Starter, browser: webdriver.Chrome
) -> None:
    (fresh.path / "answers").mkdir()
    write(fresh.path / "answers" / "july.csv", {"a good plot": "positive", "so dull": "negative"})
    fresh.change(
        fetch={"add": "answers", "synthetic": EASY, "table": {"test_share": 0.5}},
        train={"epochs": 4, "learning_rate": 0.02},
    )

    def run(number: int, status: int = 0, **more: str) -> str:
        command, variables = step(number)
        return fresh.run(*command, status=status, **variables | more)

    assert f"Version 1 of {MODEL}: champion, there was no champion" in run(5)
    texts, port = elsewhere(500), free_port()
    command, variables = step(1)
    server = start(fresh, *command, SERVE_PORT=str(port), **variables)
    wait_for(f"http://127.0.0.1:{port}/health")
    records = {"dataframe_records": [{"text": text} for text in texts]}
    requests.post(f"http://127.0.0.1:{port}/invocations", json=records, timeout=120)
    server.terminate()

    report = run(2, status=3)
    assert f"log, 500 texts for models:/{MODEL}/1: alarm" in report
    assert "no estimate until `make evaluate` judged a labelled file" in report
    (copy,) = documented("\n3. ", ROOT / "docs" / "answers.md")
    subprocess.run(["bash", "-c", copy], cwd=fresh.path, check=True)
    august = fresh.path / "answers" / "august.csv"
    with august.open(encoding="utf-8", newline="") as file:
        drawn = [row["text"] for row in csv.DictReader(file)]
    assert len(drawn) == 200
    write(august, {text: texts[text] for text in drawn})

    evaluated = json.loads(run(4, JSON="1").splitlines()[-1])
    assert evaluated["metrics"]["accuracy"]["here"] < 0.75
    again = json.loads(run(2, status=3, LABEL="0", JSON="1").splitlines()[-1])
    assert [*again["errors"]] == ["august.csv"]
    retrained = run(5)
    assert f"Version 2 of {MODEL}: champion, better than the champion: McNemar" in retrained

    port = free_port()
    start(fresh, "python", "-m", "tools.ui", MLFLOW_UI_PORT=str(port), BROWSER="true", **QUIET)
    ui = f"http://127.0.0.1:{port}"
    wait_for(f"{ui}/health")
    runs = f"{ui}/#/experiments/1/runs?workflowType=machine_learning"
    evaluation = f"version 1 of {MODEL} on august.csv"
    open_page(browser, runs, "monitor log", f"monitor of {MODEL}", evaluation)
    keep_screenshot(browser, "answers-runs")
    versions = f"{ui}/#/models/{MODEL}/versions"
    open_page(browser, f"{versions}/1", "monitor.status\nalarm")
    open_page(browser, f"{versions}/2", "@ champion", "the champion was asked again")
    reason = browser.find_element(By.XPATH, "//*[text()='promote.reason']")
    browser.execute_script("arguments[0].scrollIntoView()", reason)
    keep_screenshot(browser, "answers-champion")
