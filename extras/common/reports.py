"""The folders of reports."""

import re
from pathlib import Path

REPORTS = Path("reports")
MAX_NAME_BYTES = 150  # of a folder; file systems allow 255, which its hidden copy also needs


def report_folder(title: str, run_id: str) -> Path:
    """Return the folder for the report of a run: the title as a file name, and the run's id."""
    name = re.sub(r"[^\w.-]+", "-", title)
    short_name = name.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return REPORTS / f"{short_name}-{run_id[:8]}"
