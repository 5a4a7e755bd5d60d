"""Projects for the contract's tests, which know commands, files and MLflow's public client."""

import pytest

from tests import names
from tests.command_log import CommandLog
from tests.small_project import MakeProject, ProjectCopy, enter

HEAD_LAYER = "name=HEAD"  # an argument of the model's last layer


@pytest.fixture(scope="session")
def experiments_once(pipeline_once: CommandLog, shared: MakeProject) -> CommandLog:
    """Return a project in which an experiment ran in a copy, was applied, and was taken back.

    The experiment has other params and other code.
    """

    def run(project: ProjectCopy) -> None:
        log = CommandLog.read(project)
        model = project.path / "sentiment" / "model" / "build.py"
        code = model.read_text(encoding="utf-8")
        changed = code.replace(HEAD_LAYER, f'{HEAD_LAYER}, kernel_initializer="he_normal"')
        assert changed != code
        model.write_text(changed, encoding="utf-8")
        log.run("exp run", "dvc", "exp", "run", "--temp", "-S", "lstm.units=6", "--name", "six")
        log.run("exp apply", "dvc", "exp", "apply", "six")
        log.run("repro of six", *names.REPRO)
        project.run("git", "checkout", "--", "sentiment", "params.yaml")
        log.run("repro of four", *names.REPRO)
        log.write()

    return CommandLog.read(shared("experiments", run, pipeline_once.project.path))


@pytest.fixture
def pipeline(pipeline_once: CommandLog, monkeypatch: pytest.MonkeyPatch) -> CommandLog:
    """Return the project of `pipeline_once`, to be read only, as the working directory."""
    enter(pipeline_once.project, monkeypatch)
    return pipeline_once


@pytest.fixture
def experiments(experiments_once: CommandLog, monkeypatch: pytest.MonkeyPatch) -> CommandLog:
    """Return the project of `experiments_once`, to be read only, as the working directory."""
    enter(experiments_once.project, monkeypatch)
    return experiments_once
