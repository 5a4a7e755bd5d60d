"""A report has a folder of its own, whatever its title."""

from pathlib import Path

from extras.common.reports import MAX_NAME_BYTES, report_folder

RUN_ID = "0123456789abcdef" * 2


def test_title_becomes_a_name_with_the_id_of_the_run() -> None:
    folder = report_folder("version 1 of a/b on c.csv", RUN_ID)
    assert folder == Path("reports", "version-1-of-a-b-on-c.csv-01234567")


def test_long_title_is_cut_between_characters() -> None:
    folder = report_folder("a" + "é" * 200, RUN_ID)
    assert len(folder.name.encode()) == MAX_NAME_BYTES - 1 + len("-01234567")
