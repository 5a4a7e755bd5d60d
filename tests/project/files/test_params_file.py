"""params.yaml is read strictly, and changed without losing its comments."""

import re
from pathlib import Path
from typing import Any

import pytest

from sentiment.errors import UserError
from sentiment.project.files.params_file import load_params, parse_params, update_params_file
from sentiment.project.files.paths import Project
from tests.full_disk import full_disk
from tests.params import shipped_params
from tests.small_project import ROOT

PARAMS = ROOT / "params.yaml"


def at(params_file: Path) -> Project:
    """Return the project that has this params.yaml."""
    return Project(params_file.parent, params_file.parent)


def refusal(document: Any) -> str:
    """Return the message about params that are not valid."""
    with pytest.raises(UserError) as raised:
        parse_params(document, "params.yaml")
    return str(raised.value)


def test_the_project_ships_valid_params_that_are_read_by_section() -> None:
    params = load_params(Project(ROOT, ROOT))
    assert params.model == "lstm"
    assert [*params.models] == ["lstm", "bilstm", "linear", "custom"]
    kinds = [section.architecture for section in params.models.values()]
    assert kinds == ["recurrent", "recurrent", "linear", "custom"]


def test_a_copied_section_under_a_name_of_ones_own_is_a_model() -> None:
    document = shipped_params()
    document["wide_2"] = {**document["lstm"], "units": 128}
    document["model"] = "wide_2"
    assert parse_params(document, "params.yaml").training.logged()["units"] == 128


def test_each_wrong_key_and_value_is_named_in_whatever_section_it_is() -> None:
    wrong = shipped_params()
    wrong["bilstm"]["unitz"] = 4
    wrong["lstm"]["units"] = -1
    wrong["linear"]["padding"] = "left"
    del wrong["evaluate"]["threshold"]
    message = refusal(wrong)
    assert "bilstm.unitz: there is no such param" in message
    assert "lstm.units: -1 is not allowed. Input should be greater than or equal to 1" in message
    assert "linear.padding: 'left' is not allowed. Input should be 'pre' or 'post'" in message
    assert "evaluate.threshold: missing" in message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": "lstmm"}, "model: there is no section lstmm.*Did you mean lstm?"),
        ({"model": "fetch"}, "model: there is no section fetch"),
        ({"fetchh": {"dataset": "imdb"}}, "fetchh: the section of a model needs.*mean fetch?"),
        ({"wide": {"units": 5}}, "wide: the section of a model needs architecture"),
        (
            {"Wide": {"architecture": "linear"}},
            "Wide: the name of a section begins with a small letter",
        ),
        (
            {"a.b": {"architecture": "linear"}},
            r"a\.b: the name of a section begins with a small letter",
        ),
        ({"lstm": {"architecture": "lstm"}}, r"lstm\.architecture: 'lstm' is not allowed"),
        ({"lstm": {"architecture": "recurent"}}, r"lstm\.architecture: 'recurent'.*recurrent\?"),
        ({"wide": {"architectur": "linear"}}, r"wide\.architectur: .*mean wide\.architecture\?"),
        ({"evaluat": 5}, r"evaluat: 5 is no section.*mean evaluate\?"),
    ],
)
def test_a_section_that_is_no_model_is_named(changes: dict[str, Any], problem: str) -> None:
    wrong = shipped_params()
    for name, value in changes.items():
        wrong[name] = {**wrong.get(name, {}), **value} if isinstance(value, dict) else value
    assert re.search(problem, refusal(wrong))


def test_another_architecture_in_a_section_is_one_problem() -> None:
    wrong = shipped_params()
    wrong["lstm"] |= {"architecture": "linear", "ngrams": 3}
    _, *problems = refusal(wrong).splitlines()
    assert len(problems) == 1
    assert "lstm.architecture: linear has the params ngrams, max_features" in problems[0]


def write_units(folder: Path, units: int) -> None:
    folder.mkdir()
    text = PARAMS.read_text(encoding="utf-8").replace("  units: 64 ", f"  units: {units} ")
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def test_a_wrong_value_names_the_command_that_shows_edits_before_the_one_that_discards_them(
    tmp_path: Path,
) -> None:
    root = tmp_path / "root"
    write_units(root, -1)
    with pytest.raises(UserError, match=r"(?s)units: -1.*git diff params.*git checkout params"):
        load_params(Project(root, root))


def test_a_wrong_value_in_a_temporary_copy_comes_from_the_option(tmp_path: Path) -> None:
    root = tmp_path / "root"
    copy = tmp_path / "copy"
    write_units(root, 32)
    write_units(copy, -1)
    with pytest.raises(UserError, match=r"(?s)units: -1.*from -S") as raised:
        load_params(Project(copy, root))
    assert "git checkout" not in str(raised.value)


@pytest.mark.parametrize(
    ("section", "key", "hint"),
    [
        ("lstm", "unit", "lstm.unit: there is no such param. Did you mean lstm.units?"),
        ("linear", "ngram", "linear.ngram: there is no such param. Did you mean linear.ngrams?"),
        ("lstm", "zzz", "lstm.zzz: there is no such param"),
    ],
)
def test_a_key_that_is_like_a_param_gets_its_name_as_a_hint(
    section: str, key: str, hint: str
) -> None:
    wrong = shipped_params()
    wrong[section][key] = 4
    assert hint in refusal(wrong)


def test_a_value_in_place_of_a_section_names_its_params() -> None:
    wrong = shipped_params()
    wrong["lstm"]["dropout"] = 0.5
    assert (
        "lstm.dropout: 0.5 is not allowed. It is a section with embedding, input, recurrent, head"
    ) in refusal(wrong)


def test_a_param_without_a_value_is_named() -> None:
    incomplete = shipped_params()
    del incomplete["lstm"]["dropout"]["head"]
    del incomplete["evaluate"]
    message = refusal(incomplete)
    assert "lstm.dropout.head: missing" in message
    assert "evaluate: missing" in message


@pytest.mark.parametrize("content", ["", "- fetch\n", "fetch"])
def test_a_file_without_sections_says_how_to_bring_it_back(tmp_path: Path, content: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)not a mapping of sections.*git checkout params"):
        load_params(at(tmp_path / "params.yaml"))


@pytest.mark.parametrize("content", ["lstm:\n  units: [", "\tx", "a: 2001-02-30"])
def test_a_file_that_is_no_params_file_is_one_message(tmp_path: Path, content: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml is not valid"):
        load_params(at(tmp_path / "params.yaml"))


def test_a_section_that_is_there_twice_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("lstm: {}\nfetch: {}\nlstm: {}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r'not valid YAML: line 3: found duplicate key "lstm"'):
        load_params(at(tmp_path / "params.yaml"))


def test_utf_16_is_refused_because_dvc_cannot_read_it(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text(encoding="utf-8"), encoding="utf-16")
    with pytest.raises(UserError, match=r"params\.yaml is not valid YAML: 'utf-8' codec"):
        load_params(at(tmp_path / "params.yaml"))


def test_a_missing_file_says_where_to_run_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is missing: run this in the root of the project"):
        load_params(at(tmp_path / "params.yaml"))


@pytest.fixture
def params_file(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_bytes(PARAMS.read_bytes())
    return path


def test_an_update_changes_these_values_alone(params_file: Path) -> None:
    changes = update_params_file(
        at(params_file),
        {"lstm.units": 32, "lstm.dropout.head": 0.5},
    )
    assert changes == ["lstm.units: 64 -> 32", "lstm.dropout.head: 0.0 -> 0.5"]
    before = PARAMS.read_text(encoding="utf-8").splitlines()
    after = params_file.read_text(encoding="utf-8").splitlines()
    differing = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.split("#")[0].strip() for _, new in differing] == ["units: 32", "head: 0.5"]
    assert all(old.partition("#")[2] == new.partition("#")[2] for old, new in differing)


def test_an_update_replaces_a_section_and_keeps_the_comments_of_what_stays(
    params_file: Path,
) -> None:
    section = {**shipped_params()["custom"], "network": {"filters": 7, "heads": 2}}
    update_params_file(at(params_file), {"custom": section})
    assert load_params(at(params_file)).models["custom"].model_dump() == section
    after = params_file.read_text(encoding="utf-8")
    assert "network:                            # the arguments of its function" in after
    assert "filters: 7" in after
    assert "widths" not in after


def test_an_update_with_the_present_values_leaves_the_file_alone(params_file: Path) -> None:
    before = params_file.stat().st_mtime_ns
    assert update_params_file(at(params_file), {"lstm.units": 64}) == []
    assert params_file.stat().st_mtime_ns == before


def test_a_wrong_update_changes_nothing(params_file: Path) -> None:
    with pytest.raises(UserError, match=r"lstm\.units"):
        update_params_file(at(params_file), {"lstm.units": 0, "seed": 1})
    assert params_file.read_bytes() == PARAMS.read_bytes()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_update_keeps_the_line_ends(params_file: Path, newline: str) -> None:
    text = PARAMS.read_text(encoding="utf-8")
    params_file.write_text(text, encoding="utf-8", newline=newline)
    update_params_file(at(params_file), {"lstm.units": 32})
    expected = text.replace(" units: 64 ", " units: 32 ").replace("\n", newline)
    assert params_file.read_bytes() == expected.encode()


def test_a_full_disk_leaves_the_file_as_it_was(params_file: Path) -> None:
    with full_disk(), pytest.raises(OSError, match="File too large"):
        update_params_file(at(params_file), {"lstm.units": 32})
    assert params_file.read_bytes() == PARAMS.read_bytes()


def test_the_file_is_replaced_at_once(params_file: Path) -> None:
    """A process that reads it meanwhile, or that is killed, has the one or the other."""
    with params_file.open("rb") as before:
        update_params_file(at(params_file), {"lstm.units": 32})
        assert before.read() == PARAMS.read_bytes()
    assert load_params(at(params_file)).training.logged()["units"] == 32
    assert list(params_file.parent.iterdir()) == [params_file]
