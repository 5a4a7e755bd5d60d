"""extras/baseline/dvc.yaml lists exactly what its stage reads, as the root's does."""

import subprocess
from typing import Any

import pytest
from ruamel.yaml import YAML

from extras.baseline import __main__ as linear
from extras.baseline.fit import OPTIONS, LinearOptions
from tests.project import DEFAULT_PARAMS, ROOT
from tests.stages.test_dvc_yaml import listed_code, needed
from workflow.params import load, load_params


@pytest.fixture
def declared() -> dict[str, Any]:
    """The stage."""
    document = YAML(typ="safe", pure=True).load(ROOT / linear.DECLARED)
    stage: dict[str, Any] = document["stages"][linear.STAGE]
    return stage


def test_it_lists_exactly_the_code_and_the_reviews_it_needs(declared: dict[str, Any]) -> None:
    assert listed_code(declared) == needed(ROOT / "extras" / "baseline" / "__main__.py")
    assert [dep for dep in declared["deps"] if dep.startswith("data/")] == ["data/fetch"]


def test_it_has_a_stage_for_each_kind_which_writes_a_folder_of_its_own(
    declared: dict[str, Any],
) -> None:
    assert declared["matrix"]["kind"] == list(linear.FITS)
    assert declared["cmd"] == "exec python -m extras.baseline ${item.kind}"
    (output,) = declared["outs"]
    assert output == {f"{linear.FOLDER}/${{item.kind}}": {"cache": False, "persist": True}}
    assert declared["wdir"] == "../.."


def test_git_ignores_what_it_writes() -> None:
    outputs = [f"{linear.FOLDER}/{kind}" for kind in linear.FITS]
    command = ["git", "check-ignore", "--no-index", *outputs]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == outputs


def test_it_reads_the_params_that_shape_it_and_the_rule(declared: dict[str, Any]) -> None:
    options = load(LinearOptions, ROOT / OPTIONS)
    settings_used = linear.settings_of(load_params(DEFAULT_PARAMS), options, "tfidf")
    own, *listed = declared["params"]
    assert own == {str(OPTIONS): None}
    shaping = {name for name in settings_used if not name.startswith(("linear.", "evaluate."))}
    assert set(listed) == {"evaluate", "promote", *shaping}
