"""`make server` checks `server.yaml`, then what it names, before it changes anything."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from extras.team.server_options import FILE, Server
from sentiment.errors import UserError
from tests.extras.team.servers import MARK, Parts
from tests.project import ROOT, free_port
from workflow import params
from workflow.terminal import user_message

PASSWORDS = [MARK, "ses@me"]
ELSEWHERE = "A password or key does not belong here"


def options(**changes: Any) -> Server:
    """The settings that are shipped, with other values."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / FILE)
    return params.validate(Server, {**document, **changes}, "server.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prot": 1}, "prot: unknown key. Did you mean port?"),
        ({"runs": "sqlite:///runs.db"}, "such as postgresql://user@host:5432/name"),
        ({"artifacts": "mlruns"}, "artifacts: 'mlruns' is not allowed"),
        ({"default_permission": "WRITE"}, "default_permission: 'WRITE' is not allowed"),
        *(({"runs": f"postgresql://mlflow:{it}@db.example/mlflow"}, ELSEWHERE) for it in PASSWORDS),
        ({"s3_endpoint": f"https://key:{MARK}@s3.example"}, ELSEWHERE),
    ],
)
def test_a_setting_that_is_not_allowed_is_one_message_without_secrets(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as raised:
        options(**changes)
    message = str(user_message(raised.value, "`make server`"))
    assert said in message
    assert not [secret for secret in PASSWORDS if secret in message]


@pytest.mark.slow
def test_the_command_ends_with_the_one_message(processes: Parts, tmp_path: Path) -> None:
    processes.write(tmp_path, artifacts="s3://nobody-s", port=free_port())
    command = [sys.executable, "-m", "extras.team.server"]
    environment = {**os.environ, **processes.environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"make server: artifacts in {FILE}: s3://nobody-s cannot be used")
    assert "(404)" in done.stderr
