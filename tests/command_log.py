"""Real commands that were run in a project, and what they printed.

They take seconds to start, so one project lives through a story that many tests read.
"""

import hashlib
import json

from tests import names
from tests.small_project import ProjectCopy


class CommandLog:
    """A project, and the commands that were run in it.

    Attributes:
        project: the project.
        printed: what each command printed, by its name in the fixture.
        digests: digest of the model and the metrics after each command, by the same names.
    """

    def __init__(self, project: ProjectCopy) -> None:
        self.project = project
        self.printed: dict[str, str] = {}
        self.digests: dict[str, str] = {}

    def run(self, name: str, *command: str, **environment: str) -> None:
        """Run a command that must succeed."""
        self.printed[name] = self.project.run(*command, **environment)
        contents = (self.project.path / names.MODEL_FILE).read_bytes()
        contents += (self.project.path / names.METRICS).read_bytes()
        self.digests[name] = hashlib.sha256(contents).hexdigest()

    def write(self) -> None:
        """Write what was printed beside the project, for the other processes that run tests."""
        text = json.dumps([self.printed, self.digests])
        self.project.path.with_name("commands.json").write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, project: ProjectCopy) -> "CommandLog":
        """Read what `write` has written. A copy of a project begins without commands."""
        commands = cls(project)
        path = project.path.with_name("commands.json")
        if path.exists():
            commands.printed, commands.digests = json.loads(path.read_bytes())
        return commands
