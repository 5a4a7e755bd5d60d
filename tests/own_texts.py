"""Texts of one's own for tests, and the name of their dataset."""

import csv
import random
from pathlib import Path

from tests.project import Project

# The name has an image with a script, a template, and mathematics that Matplotlib would render.
NAME = "<img src=x onerror=alert(1)>{{7*7}}$5^$.csv"
MODEL = "img-src-x-onerror-alert-1-7-7-5-sentiment"
HARMFUL = "\u202eSCHLECHT\u2066 \x1b[2J\x07 <script>alert(1)</script> {{7*7}} ${7*7} 'été'"
CONTROLS = {"\u202e", "\u2066", "\x1b", "\x07"}
GOOD = "très bon génial j’aime parfait".split()
BAD = "mauvais nul déçu ennuyeux cassé".split()
FILLER = "le la un produit film c’est l’été jour vraiment voilà encore toujours".split()


def write_texts(path: Path, seed: int, count: int = 240) -> list[tuple[str, str]]:
    """Write `count` texts with accents, and return texts and labels.

    A quarter is positive, some contain harmful characters, and every eleventh says the opposite of
    its label.
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
    """Let a project use a file of texts that `write_texts` wrote."""
    table = {"train": name, "test": name, "text": "body", "label": "stars", "positive": "1"}
    project.change(
        fetch={"dataset": "table", "table": {**table, "tokenizer": "unicode"}},
        train={"class_weight": "balanced", "epochs": 3, "learning_rate": 0.02},
        evaluate={"mistakes": 20},
    )
