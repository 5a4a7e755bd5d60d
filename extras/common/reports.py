"""The folder of reports. Each report has a folder of its own there, named after its runs."""

from pathlib import Path

REPORTS = Path("reports")
