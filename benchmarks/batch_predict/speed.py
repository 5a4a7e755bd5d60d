"""`python -m benchmarks.batch_predict.speed`: measure time and memory of a batch prediction.

The champion predicts texts of 250 words that are cut from IMDB's test set, in one process, by one
worker and by two, in turns. Needs `data/fetch` of IMDB and a champion. Writes `speed.md`
next to this file.
"""

import csv
import hashlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pandas as pd
import psutil

from extras.batch_predict.parts import PARTS
from workflow import commands, outputs, provenance
from workflow.files import FETCH, read_reviews

RESULTS = Path(__file__).with_name("speed.md")
WORDS = 250  # words of a text
SAMPLE_SECONDS = 0.5  # interval of measuring the memory
WAYS = {"one process": (), "one worker": ("--workers", "1"), "two workers": ("--workers", "2")}


class Sample(NamedTuple):
    """One batch prediction of the file.

    Attributes:
        seconds: duration of the command.
        gigabytes: maximum resident memory of a process.
        digest: SHA-256 of all part files, in order.
    """

    seconds: float
    gigabytes: float
    digest: str


def write_texts(path: Path, count: int) -> None:
    """Write a CSV file with `count` texts. The same texts are repeated over and over."""
    words = np.array(outputs.read_vocabulary(), object)
    reviews = read_reviews(FETCH, "test")
    texts = words[reviews.tokens[: len(reviews.tokens) // WORDS * WORDS]].reshape(-1, WORDS)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text"])
        for number in range(count):
            writer.writerow([" ".join(texts[number % len(texts)])])


def measure_prediction(path: Path, out: Path, arguments: tuple[str, ...]) -> Sample:
    """Predict the file by the command as a user does, and measure it."""
    command = [sys.executable, "-m", "extras.batch_predict", "--file", str(path), "--out", str(out)]
    started = time.monotonic()
    gigabytes = 0.0
    process = psutil.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        for one in (process, *process.children(recursive=True)):
            try:
                gigabytes = max(gigabytes, one.memory_info().rss / 1e9)
            except psutil.Error:
                continue
        time.sleep(SAMPLE_SECONDS)
    seconds = time.monotonic() - started
    assert process.returncode == 0
    digest = hashlib.sha256()
    for part in sorted((out / PARTS).iterdir()):
        digest.update(part.read_bytes())
    shutil.rmtree(out)
    return Sample(seconds, gigabytes, digest.hexdigest())


def to_markdown(samples: dict[str, list[Sample]], count: int) -> str:
    """Return a table of the predictions of `count` texts."""
    rows = []
    for way, taken in samples.items():
        seconds = statistics.median(sample.seconds for sample in taken)
        memory = max(sample.gigabytes for sample in taken)
        rows.append(
            {
                "": way,
                "turns": len(taken),
                "seconds, median": f"{seconds:.0f}",
                "texts a second": f"{count / seconds:,.0f}",
                "GB of the largest process": f"{memory:.2f}",
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


@commands.command(__doc__)
@commands.option("--texts", envvar="TEXTS", type=click.IntRange(min=1), default=1_000_000)
@commands.option("--turns", envvar="TURNS", type=click.IntRange(min=1), default=1)
def main(texts: int, turns: int) -> None:
    samples: dict[str, list[Sample]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as scratch:
        write_texts(Path(scratch, "texts.csv"), texts)
        for _ in range(turns):
            for way, arguments in WAYS.items():
                sample = measure_prediction(
                    Path(scratch, "texts.csv"), Path(scratch, "out"), arguments
                )
                samples[way].append(sample)
                print(way, sample, flush=True)
    one, two = (
        statistics.median(sample.seconds for sample in samples[way])
        for way in ("one worker", "two workers")
    )
    digests = {sample.digest for taken in samples.values() for sample in taken}
    lines = [
        f"# Batch prediction\n\n{texts:,} texts of {WORDS} words by the champion, on "
        f"{provenance.machine_tags()['processor.name']}, {datetime.now():%Y-%m-%d}.\n",
        to_markdown(samples, texts),
        f"\nTwo workers are {one / two:.2f} times as fast as one. "
        f"The files are {'the same' if len(digests) == 1 else 'NOT the same'} to the byte.\n",
    ]
    RESULTS.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    commands.run_command("python -m benchmarks.batch_predict.speed", main)
