"""Print the validation accuracy of two commits by epoch, as a Mermaid chart for GitHub.

python .github/accuracy_chart.py <base> <head>
"""

import subprocess
import sys
from io import StringIO

import pandas as pd

# Mermaid's first color is almost white.
COLORS = """\
---
config:
  themeVariables:
    xyChart:
      plotColorPalette: "gray, royalblue"
---"""


def read_accuracies(commit: str) -> list[float]:
    """Read the validation accuracy of each epoch as a commit has it."""
    command = ["git", "show", f"{commit}:./metrics/history.csv"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [round(value, 4) for value in pd.read_csv(StringIO(table))["val_accuracy"]]


def main(base: str, head: str) -> None:
    lines = [read_accuracies(base), read_accuracies(head)]
    epochs = range(1, max(len(line) for line in lines) + 1)
    print("Validation accuracy by epoch: the base in gray, this branch in blue.\n")
    print(f"```mermaid\n{COLORS}\nxychart-beta")
    # With a range such as `1 --> 5`, Mermaid would stretch a shorter line to the last epoch.
    print(f'  x-axis "epoch" {list(epochs)}')
    print('  y-axis "val_accuracy"')
    for line in lines:
        print(f"  line {line}")
    print("```")


if __name__ == "__main__":
    main(*sys.argv[1:])
