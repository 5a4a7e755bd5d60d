"""extras/baseline/dvc.yaml lists exactly what its stage reads, as the root's does."""

from ruamel.yaml import YAML

from extras.baseline import __main__ as linear
from extras.baseline.fit import OPTIONS, LinearOptions
from tests.project import DEFAULT_PARAMS, ROOT
from tests.stages.test_dvc_yaml import listed_code, needed
from workflow.params import load_params, load_yaml


def test_it_lists_exactly_the_code_the_reviews_and_the_params_that_its_stage_reads() -> None:
    declared = YAML(typ="safe", pure=True).load(ROOT / linear.DECLARED)["stages"][linear.STAGE]
    assert listed_code(declared) == needed(ROOT / "extras" / "baseline" / "__main__.py")
    assert [dep for dep in declared["deps"] if dep.startswith("data/")] == ["data/fetch"]
    assert declared["matrix"]["kind"] == list(linear.FITS)
    options = load_yaml(LinearOptions, ROOT / OPTIONS)
    settings_used = linear.settings_of(load_params(DEFAULT_PARAMS), options, "tfidf")
    own, *listed = declared["params"]
    assert own == {str(OPTIONS): None}
    shaping = {name for name in settings_used if not name.startswith(("linear.", "evaluate."))}
    assert set(listed) == {"evaluate", "promote", *shaping}
