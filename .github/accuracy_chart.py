"""Print the validation accuracy of two commits by epoch, as a Mermaid chart for GitHub.

python .github/accuracy_chart.py <base> <head>
"""

import subprocess
import sys
from io import StringIO

import pandas as pd


def read_accuracies(commit: str) -> list[float]:
    """Read the validation accuracy of each epoch as a commit has it."""
    command = ["git", "show", f"{commit}:metrics/history.csv"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [round(value, 4) for value in pd.read_csv(StringIO(table))["val_accuracy"]]


def main(base: str, head: str) -> None:
    lines = [read_accuracies(base), read_accuracies(head)]
    epochs = max(len(line) for line in lines)
    print("Validation accuracy by epoch, first the base, then this branch:\n")
    print("```mermaid\nxychart-beta")
    print(f'  x-axis "epoch" 1 --> {max(epochs, 2)}')
    print('  y-axis "val_accuracy"')
    for line in lines:
        print(f"  line {line}")
    print("```")


if __name__ == "__main__":
    main(*sys.argv[1:])
