from pathlib import Path

import pytest

from extras.common.evaluated_runs import belonging_to
from sentiment.errors import UserError
from workflow import files


def test_a_damaged_file_is_named_by_whose_it_is_and_not_by_where_it_was_copied_to(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "evaluate"
    folder.mkdir()
    (folder / "cost.json").write_text("{}", encoding="utf-8")
    files.write_about(folder, {})
    for content, problem in (("[]", r"is not as the stage wrote it \(.*\)"), (None, "is missing")):
        (folder / "cost.json").unlink()
        if content:
            (folder / "cost.json").write_text(content, encoding="utf-8")
        expected = rf"^Run 0123: evaluate/cost\.json {problem}\. Log it again\.$"
        with pytest.raises(UserError, match=expected), belonging_to("Run 0123", "Log it again."):
            files.checked(folder / "cost.json")
