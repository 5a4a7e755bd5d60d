"""Texts of one's own go through the same pipeline by naming a file, and stay where they should."""

import csv
import hashlib
import json
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import mlflow
import numpy as np
import pandas as pd
import pytest
from selenium import webdriver

from extras.compare import __main__ as compare
from extras.evaluate_file import __main__ as evaluate_file
from extras.seeds import __main__ as seeds
from extras.seeds import experiments
from sentiment.data import table
from stages import evaluate, fetch, pad, train
from tests.browser import keep_screenshot, open_page, text
from tests.conftest import Caller, Sharer, Starter, runs, stand_in
from tests.extras.conftest import SWEEP_SETTINGS
from tests.project import Project, free_port, wait_for
from tests.services import web
from tools import predict, sync
from workflow import files
from workflow.evaluation import read_table
from workflow.params import load_params
from workflow.registry import champion
from workflow.runs.logger import RunLogger, guarded
from workflow.runs.store import EXPERIMENT

# an image with a script, a template, and mathematics as Matplotlib reads it
NAME = "<img src=x onerror=alert(1)>{{7*7}}$5^$.csv"
MODEL = "img-src-x-onerror-alert-1-7-7-5-sentiment"
HARMFUL = "\u202eSCHLECHT\u2066 \x1b[2J\x07 <script>alert(1)</script> {{7*7}} ${7*7} 'été'"
SECRET = uuid4().hex
GOOD, BAD = "très bon génial j’aime parfait".split(), "mauvais nul déçu ennuyeux cassé".split()
FILLER = "le la un produit film c’est l’été jour vraiment voilà encore toujours".split()


def write_texts(path: Path, seed: int, count: int = 240) -> list[tuple[str, str]]:
    """Write so many texts with accents, a quarter of them positive, some with what could harm.

    Every eleventh says the opposite of its label.
    """
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        positive = number % 4 == 0
        good = positive ^ (number % 11 == 0)
        words = rng.choices(FILLER, k=8) + rng.choices(GOOD if good else BAD, k=4)
        rng.shuffle(words)
        harm = HARMFUL if number % 5 == 0 else ""
        rows.append((f"{' '.join(words).capitalize()} {harm}", "1" if positive else "0"))
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("body", "stars"), *rows])
    return rows


def use_table(project: Project, name: str) -> None:
    """Let a project take its texts from a file, whose columns are those of `write_texts`."""
    table = {"train": name, "test": name, "text": "body", "label": "stars", "positive": "1"}
    project.change(
        fetch={"dataset": "table", "table": {**table, "tokenizer": "unicode"}},
        train={"class_weight": "balanced", "epochs": 3, "learning_rate": 0.02},
        evaluate={"mistakes": 20},
    )


@pytest.fixture(scope="session")
def own(clone: Project, shared: Sharer) -> Project:
    """A project that was trained on a table without logging texts; tests leave it alone."""

    def run(project: Project) -> None:
        write_texts(project.path / NAME, seed=0)
        use_table(project, NAME)
        project.change(evaluate={"log_texts": False})
        project.run("dvc", "repro")
        project.commit()

    return shared("own-texts", run, clone.path)


@pytest.fixture
def standing(own: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of that project of one's own, as the working directory."""
    project = own.copy(tmp_path / "project")
    stand_in(project.path, monkeypatch)
    return project


def run_of(project: Project) -> mlflow.entities.Run:
    """The run that made `data/`."""
    return mlflow.get_run(files.read_json(project.path / "data/train/run.json")["run_id"])


def test_the_run_names_the_file_and_its_digest(standing: Project) -> None:
    run = run_of(standing)
    digest = hashlib.sha256((standing.path / NAME).read_bytes()).hexdigest()
    assert run.data.params["fetch.table.train"] == NAME
    assert run.data.params["fetch.table.train_sha256"] == digest
    assert run.data.tags["dataset"] == NAME
    assert run.inputs
    names = {each.dataset.name for each in run.inputs.dataset_inputs}
    assert names == {f"{NAME}-{part}" for part in ("training", "validation", "test")}
    assert run.info.run_name == f"lstm-4 · balanced · len 40 · seed 42 · {NAME}"


@pytest.mark.usefixtures("standing")
def test_its_registered_model_is_its_own() -> None:
    champion = mlflow.MlflowClient().get_model_version_by_alias(MODEL, "champion")
    assert champion.tags["promote.reason"] == "there was no champion"
    assert champion.tags["dataset"] == NAME


def test_what_is_served_equals_what_was_evaluated(standing: Project) -> None:
    texts = write_texts(standing.path / "again.csv", seed=0)
    labels = np.array([int(label) for _, label in texts], np.uint8)
    settings = load_params().fetch.table
    groups = np.zeros(len(labels), np.int64)
    set_aside = np.flatnonzero(table.set_aside(labels, groups, settings))
    served = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    answers = served.predict(pd.DataFrame({"text": [texts[row][0] for row in set_aside]}))
    probabilities = np.load(standing.path / "data/evaluate/probabilities.npy")
    order = np.load(standing.path / "data/pad/test_order.npy")
    np.testing.assert_array_equal(answers["probability"].to_numpy()[order], probabilities)


def test_labels_that_are_rare_count_as_much_as_the_others(standing: Project) -> None:
    metrics = files.read_json(standing.path / "data/evaluate/metrics.json")
    summary = files.read_json(standing.path / "data/fetch/summary.json")
    assert summary["train"] == {"reviews": 192, "positive": 48, "repeated": 0}
    assert metrics["test_recall"] > 0.7
    assert 0.7 < metrics["test_balanced_accuracy"] < 1
    assert 0.6 < metrics["test_average_precision"] < 1


def test_a_changed_file_runs_again_what_depends_on_it(standing: Project) -> None:
    assert "Data and pipelines are up to date" in standing.run("dvc", "repro")
    write_texts(standing.path / NAME, seed=1)
    output = standing.run("dvc", "repro")
    for stage in ("fetch", "pad", "train", "evaluate"):
        assert f"Running stage '{stage}'" in output
    assert "not promoted, evaluated on other reviews than the champion" in output


def test_experiments_have_the_texts_once_dvc_knows_them(standing: Project, call: Caller) -> None:
    standing.run("git", "rm", "--quiet", "--cached", "--", NAME)
    standing.run("git", "commit", "--quiet", "--message", "without")
    message = call.fail(seeds.main, "--count", "2")
    assert f"{NAME} is known neither to git nor to DVC" in message
    assert f"dvc add '{NAME}'" in message
    params = load_params()
    before = experiments.short_key(params)
    standing.run("dvc", "add", NAME)
    standing.commit()
    assert "All " in standing.run("python", "-m", "tools.verify")
    output = standing.run("dvc", "exp", "run", "--temp", "--set-param", "train.seed=7")
    assert "seed 7" in output
    assert "Test Accuracy: " in output
    assert experiments.short_key(params) == before
    write_texts(standing.path / NAME, seed=1)  # other texts, so other trainings
    assert experiments.short_key(params) != before


def test_a_sweep_searches_on_the_texts_as_they_are(standing: Project) -> None:
    standing.change(sweep=SWEEP_SETTINGS)
    standing.commit()
    search = ("python", "-m", "extras.sweep", "--trials", "1", "--workers", "1", "--json")
    first = json.loads(standing.read(*search))["run_id"]
    write_texts(standing.path / NAME, seed=1)
    message = standing.fail(*search)
    assert "data/fetch has other reviews than params.yaml: run `dvc repro fetch`" in message
    standing.run("dvc", "repro", "fetch")
    assert json.loads(standing.read(*search))["run_id"] != first


def test_a_path_out_of_the_project_has_to_be_absolute_where_copies_are_trained(
    standing: Project, call: Caller
) -> None:
    write_texts(standing.path.parent / "outside.csv", seed=0)
    use_table(standing, "../outside.csv")
    message = call.fail(seeds.main, "--count", "2")
    assert "../outside.csv is outside the project" in message
    assert "absolute path" in message


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a web server that has the files of the folder `web`."""
    (tmp_path / "web").mkdir()
    with web(tmp_path / "web") as found:
        yield found


def test_a_positive_label_that_is_a_number_or_truth_value_means_what_it_looks_like(
    fresh: Project,
) -> None:
    texts = write_texts(fresh.path / "reviews.csv", seed=0)
    lines = [json.dumps({"body": text, "stars": label == "1"}) for text, label in texts]
    (fresh.path / "reviews.jsonl").write_text("\n".join(lines), encoding="utf-8")
    use_table(fresh, "reviews.csv")
    fresh.change(fetch={"table": {"positive": 1}})
    fresh.run("dvc", "repro", "fetch")
    use_table(fresh, "reviews.jsonl")
    fresh.commit()
    fresh.run("dvc", "exp", "run", "--set-param", "fetch.table.positive=true", "fetch")
    assert "positive: true" in (fresh.path / "params.yaml").read_text(encoding="utf-8")
    about = files.read_json(fresh.path / "data/fetch/about.json")
    assert about["params"]["fetch.table.positive"] == "true"
    summary = files.read_json(fresh.path / "data/fetch/summary.json")
    assert summary["train"]["positive"] == 48


def test_a_file_at_an_address_runs_again_when_its_etag_changes(
    fresh: Project, address: str, tmp_path: Path
) -> None:
    use_table(fresh, f"{address}/reviews.csv")
    write_texts(tmp_path / "web" / "reviews.csv", seed=0)
    assert "reviews.csv: 192 training and 48 test reviews" in fresh.run("dvc", "repro", "fetch")
    assert "Data and pipelines are up to date" in fresh.run("dvc", "repro", "fetch")
    write_texts(tmp_path / "web" / "reviews.csv", seed=1, count=300)
    assert "reviews.csv: 240 training and 60 test reviews" in fresh.run("dvc", "repro", "fetch")
    about = files.read_json(fresh.path / "data/fetch/about.json")
    assert address not in json.dumps(about)


def test_a_signature_is_refused_before_dvc_records_it(
    fresh: Project, address: str, tmp_path: Path
) -> None:
    write_texts(tmp_path / "web" / "reviews.csv", seed=0)
    use_table(fresh, f"{address}/reviews.csv?signature={SECRET}")
    for command in (("dvc", "repro"), ("python", "-m", "tools.repro")):
        output = fresh.fail(*command)
        assert "fetch.table.train: An address with ? or # may hold a signature" in output
        assert SECRET not in output
    holding = {path for path, each in fresh.contents(".").items() if SECRET.encode() in each}
    assert holding == {"params.yaml"}


def test_the_query_of_an_address_is_nowhere_in_an_evaluation(
    standing: Project, address: str, tmp_path: Path, call: Caller
) -> None:
    write_texts(tmp_path / "web" / "elsewhere.csv", seed=5)
    file = f"{address}/elsewhere.csv?X-Amz-Signature={SECRET}"
    printed = call(evaluate_file.main, "--file", file, "--json")
    made = json.loads(printed.splitlines()[-1])
    assert mlflow.get_run(made["run_id"]).data.tags["dataset"] == "elsewhere.csv"
    for path, content in standing.contents(".").items():
        assert SECRET not in path
        assert SECRET.encode() not in content
    assert SECRET not in printed


def test_a_file_that_is_not_there_or_damaged_leaves_what_was_fetched(
    standing: Project, call: Caller
) -> None:
    before = standing.contents("data/fetch")
    (standing.path / NAME).write_text("body,stars\nfine,1\nbad,0\nso,?\n", encoding="utf-8")
    assert "row 3 (line 4), column 'stars' is '?'" in call.fail(fetch.main)
    (standing.path / NAME).unlink()
    assert f"There is no file {NAME}." in call.fail(fetch.main)
    assert standing.contents("data/fetch") == before
    assert [*standing.path.glob("data/.*")] == [standing.path / "data/.gitignore"]


def test_a_second_data_set_whose_name_is_taken_is_refused_before_it_is_trained_on(
    standing: Project, call: Caller
) -> None:
    other = NAME.replace(".csv", ".tsv")
    with (standing.path / other).open("w", encoding="utf-8", newline="") as file:
        rows = write_texts(standing.path / "again.csv", seed=1)
        csv.writer(file, csv.excel_tab).writerows([("body", "stars"), *rows])
    use_table(standing, other)
    for stage in (fetch, pad):
        call(stage.main)
    for command in (train, predict):
        message = call.fail(command.main, TEXT="très bon")
        assert f"{MODEL} is the registered model of {NAME}, and {other} would share it" in message
        assert f"for example to other-{other}" in message
    assert len(runs()) == 1


def test_champions_of_other_data_are_never_compared(standing: Project, call: Caller) -> None:
    standing.change(fetch={"dataset": "synthetic"})
    for stage in (fetch, pad, train, evaluate):
        printed = call(stage.main)
    assert "Version 1 of synthetic-sentiment: champion, there was no champion" in printed
    message = call.fail(compare.main, "--a", f"models:/{MODEL}/1")
    assert "models:/" in message
    client = mlflow.MlflowClient()
    other = client.get_model_version_by_alias(MODEL, "champion").run_id
    assert "other test reviews" in call.fail(compare.main, "--a", str(other))


def test_a_file_from_elsewhere_is_evaluated_as_a_run_linked_to_the_model(
    standing: Project, call: Caller
) -> None:
    write_texts(standing.path / "elsewhere.jsonl", seed=5)
    rows = write_texts(standing.path / "other.csv", seed=5)
    lines = [json.dumps({"text": content, "label": int(label)}) for content, label in rows]
    (standing.path / "elsewhere.jsonl").write_text("\n".join(lines), encoding="utf-8")
    names = ("--text", "text", "--label", "label", "--file", "elsewhere.jsonl")
    made = json.loads(call(evaluate_file.main, *names, "--json").splitlines()[-1])
    assert (made["reviews"], made["positive"], made["also_in_training"]) == (240, 60, 0)
    accuracy = made["metrics"]["accuracy"]["here"]
    low, high = made["metrics"]["accuracy"]["interval"]
    assert low < accuracy < high
    own = files.read_json(standing.path / "data/evaluate/metrics.json")
    assert made["metrics"]["accuracy"]["there"] == pytest.approx(own["test_accuracy"])
    assert made["metrics"]["roc_auc"]["there"] == pytest.approx(own["test_roc_auc"])
    answers = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion").predict(
        pd.DataFrame({"text": [content for content, _ in rows]})
    )
    right = (answers["label"] == "positive") == [label == "1" for _, label in rows]
    assert accuracy == pytest.approx(right.mean())

    client = mlflow.MlflowClient()
    run = client.get_run(made["run_id"])
    version = client.get_model_version_by_alias(MODEL, "champion")
    assert run.inputs
    assert run.data.tags["evaluation.of"] == version.run_id
    assert [each.model_id for each in run.inputs.model_inputs] == [champion.model_id(version)]
    (used,) = run.inputs.dataset_inputs
    assert used.dataset.name == "elsewhere.jsonl"
    assert run.data.metrics["test_accuracy"] == pytest.approx(accuracy)
    assert run.data.metrics["test_accuracy_low"] == pytest.approx(low)
    logged = {Path(each.path).name for each in client.list_artifacts(made["run_id"], "evaluate")}
    assert {"roc.png", "confusion.png", "mistakes.csv", "predictions.csv"} <= logged


EVALUATE = ("python", "-m", "extras.evaluate_file", "--json", "--file")
ENDED = """
import os, sys
from extras.evaluate_file import __main__ as evaluate
from workflow import cli
from workflow.runs.logger import RunLogger
number = int(sys.argv.pop())
RunLogger.metrics = lambda *_: os.kill(os.getpid(), number)
cli.run("make evaluate", evaluate.main)
"""


def test_no_text_is_a_formula_in_a_spreadsheet_and_each_is_read_back_as_it_was(
    standing: Project, call: Caller
) -> None:
    signs = [
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n",
        "'",
        "''",
        " =",
        "＝",
        "\ufeff=",
        "a;=",
        "a\t+",
        "a\n@",
        "a;'=",
        "\0=",
        '"=',
        "7",
    ]
    texts = [f'{sign}HYPERLINK("http://h")\r=1+1,{sign}' for sign in signs]
    rows = [{"body": each, "stars": label} for each in texts for label in (0, 1)]  # one is wrong
    lines = "\n".join(json.dumps(each) for each in rows)
    (standing.path / "signs.jsonl").write_text(lines, encoding="utf-8")
    standing.change(evaluate={"log_texts": True, "mistakes": 100})
    made = json.loads(call(evaluate_file.main, "--file", "signs.jsonl", "--json").splitlines()[-1])
    path = standing.path / made["folder"] / "mistakes.csv"
    with path.open(encoding="utf-8", newline="") as file:
        cells = [row["text"] for row in csv.DictReader(file)]
    assert {cell[0] for cell in cells} == {"'", "7", "a"}
    for separator in ";\t":
        with path.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file, delimiter=separator) for cell in row]
        assert [cell for cell in cells if re.match(r"[=+\-@＝]", cell)] == []
    mistakes = read_table(path)
    assert sorted(mistakes["text"]) == sorted(texts)
    assert mistakes["seen_in_training"].dtype == bool


def test_evaluations_at_once_leave_each_other_alone(standing: Project, start: Starter) -> None:
    """Two of files with the same name, and one of them again."""
    for seed, name in enumerate("ab"):
        (standing.path / name).mkdir()
        write_texts(standing.path / name / "reviews.csv", seed, count=100 + seed)
    begun = [start(standing, *EVALUATE, f"{name}/reviews.csv") for name in "aba"]
    made = [json.loads(each.communicate(timeout=300)[0].splitlines()[-1]) for each in begun]
    assert [each["reviews"] for each in made] == [100, 101, 100]
    for each in made:
        folder = standing.path / each["folder"]
        assert files.read_json(folder / "metrics.json")["test_reviews"] == each["reviews"]
        digests = files.read_about(folder)["files"]
        logged = mlflow.artifacts.download_artifacts(f"runs:/{each['run_id']}/evaluate")
        for name in digests:
            files.checked(Path(logged) / name, digests)
    assert len({each["folder"] for each in made}) == 3


def test_an_evaluation_that_is_ended_is_not_running_any_more(
    standing: Project, call: Caller
) -> None:
    def end(number: int) -> str:
        standing.fail("python", "-c", ENDED, "--file", NAME, str(number))
        return str(runs()[0].info.status)

    assert end(signal.SIGTERM) == "KILLED"
    assert end(signal.SIGKILL) == "RUNNING"
    call(sync.main)
    assert [each.info.status for each in runs()] == ["KILLED", "KILLED", "FINISHED"]


def test_an_evaluation_whose_store_fails_is_a_failed_run(
    standing: Project, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    @guarded
    def fail(*_: object) -> None:
        raise mlflow.MlflowException("the disk is full")

    monkeypatch.setattr(RunLogger, "metrics", fail)
    message = call.fail(evaluate_file.main, "--file", NAME)
    (folder,) = (standing.path / "reports").iterdir()
    assert f"{folder.relative_to(standing.path)} is complete, its run in MLflow is not" in message
    assert [each.info.status for each in runs()] == ["FAILED", "FINISHED"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--file", "none.csv"), "There is no file none.csv."),
        (("--file", "params.yaml"), "ends in none of .csv"),
        (("--file", "data/example.csv"), "has no column 'body' (fetch.table.text): 'text'"),
        (("--file", NAME, "--positive", "2"), "column 'stars' is '0', a third label beside '2'"),
        (("--file", NAME, "--model", "runs:/0/model"), "names no version of a registered model"),
        (("--file", NAME, "--model", f"models:/{MODEL}/7"), f"There is no model models:/{MODEL}/7"),
        ((), "Missing option '--file' (env var: 'FILE')"),
    ],
)
@pytest.mark.usefixtures("standing")
def test_what_cannot_be_evaluated_is_one_message(
    call: Caller, arguments: tuple[str, ...], message: str
) -> None:
    assert message in call.fail(evaluate_file.main, *arguments)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment
    assert len(client.search_runs([experiment.experiment_id])) == 1


@pytest.fixture(scope="module")
def shown(own: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project with its texts in report and comparison."""
    project = own.copy(tmp_path_factory.mktemp("shown") / "project")
    project.change(evaluate={"log_texts": True})
    project.run("dvc", "repro")
    project.run("python", "-m", "extras.compare.report")
    project.change(train={"units": 3})
    project.run("dvc", "repro")
    project.run("python", "-m", "extras.compare", "--a", "champion")
    return project


def harmless(browser: webdriver.Chrome) -> None:
    """Nothing of a text or a name became an element, a script, a template or a turn of letters."""
    assert browser.find_elements("css selector", "img[src='x']") == []
    assert not [
        each
        for each in browser.find_elements("tag name", "script")
        if "alert(1)" in (each.get_attribute("textContent") or "")
    ]
    page = browser.execute_script("return document.body.innerText")
    assert not set(page) & {"\u202e", "\u2066", "\x1b", "\x07"}
    assert [sign for sign in (">49", " 49 ", "$49") if sign in page] == []


def test_texts_and_names_do_nothing_on_the_pages(shown: Project, browser: webdriver.Chrome) -> None:
    page = shown.path / "reports" / "report.html"
    open_page(browser, page.as_uri(), NAME, "Most confident mistakes")
    harmless(browser)
    keep_screenshot(browser, "own-texts-report")
    page = shown.path / "reports" / "compare-champion-workspace" / "report.html"
    open_page(browser, page.as_uri(), NAME)
    harmless(browser)


def test_texts_and_names_do_nothing_in_the_demo(shown: Project, browser: webdriver.Chrome) -> None:
    port = free_port()
    process = shown.start("python", "-m", "extras.demo", DEMO_PORT=str(port))
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health")
        open_page(browser, f"http://127.0.0.1:{port}", "The champion", NAME)
        harmless(browser)
        keep_screenshot(browser, "own-texts-demo")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_texts_and_names_do_nothing_in_mlflow(shown: Project, browser: webdriver.Chrome) -> None:
    port = free_port()
    process = shown.start("python", "-m", "tools.ui", MLFLOW_UI_PORT=str(port))
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        runs = f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=machine_learning"
        open_page(browser, runs, f"len 40 · seed 42 · {NAME}")
        harmless(browser)
        keep_screenshot(browser, "own-texts-mlflow")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_text_does_nothing_in_the_terminal(standing: Project, call: Caller) -> None:
    assert standing.path.is_dir()
    printed = call(predict.main, TEXT=HARMFUL)
    assert not set(printed) & {"\u202e", "\u2066", "\x1b", "\x07"}
    assert "�[2J�" in printed


def test_text_is_on_the_report_where_that_is_allowed(
    shown: Project, browser: webdriver.Chrome
) -> None:
    open_page(browser, (shown.path / "reports" / "report.html").as_uri(), "Most confident mistakes")
    mistakes = pd.read_csv(shown.path / "data/evaluate/mistakes.csv", keep_default_na=False)
    assert "text" in mistakes.columns
    assert "produit" in text(browser)
