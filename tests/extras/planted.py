"""Plant secrets and private texts where users have them, and run commands that could leak them."""

import shutil
from pathlib import Path

import pytest

from extras.compare import __main__ as compare
from extras.evaluate_file import __main__ as evaluate_file
from stages import evaluate
from tests.conftest import Caller, run_stages
from tests.own_texts import NAME, write_texts
from tests.project import Project
from tests.services import PASSWORD, web

SIGNATURE = (
    "?X-Amz-Credential=planted-credential&X-Amz-Signature=planted-signature#planted-fragment"
)
IN_FILES = {
    ".env": "AWS_SECRET_ACCESS_KEY=planted-dotenv",
    ".env.local": "API_KEY=planted-dotenv-local",
    "review.txt": "My doctor said planted-untracked-text",
    "reviews.json": '["planted-json"]',
    "reviews.csv~": "body,stars\nplanted-backup,1",
    "keys/notes.py": "KEY = 'planted-module-elsewhere'",
    "staged.md": "planted-staged",
    ".dvc/config": "['remote \"own\"']\n    url = s3://own\n    access_key_id = planted-dvc-config",
    ".dvc/config.local": "['remote \"own\"']\n    secret_access_key = planted-dvc-local",
}
IN_ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "planted-environment",
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": "planted-tracking-password",
    "HTTPS_PROXY": "http://ann:planted-proxy@127.0.0.1:9",
}
SECRETS = [PASSWORD.encode(), b"planted-"]
PRIVATE = Path("web", "private", "elsewhere.csv")  # in the home, which a web server serves


def plant(project: Project) -> None:
    """Put secrets and private texts into files. The home is the folder above the project."""
    for name, content in IN_FILES.items():
        (project.path / name).parent.mkdir(exist_ok=True)
        with (project.path / name).open("a", encoding="utf-8") as file:
            file.write(f"{content}\n")
    project.run("git", "add", "staged.md")
    url = "https://ann:planted-token@127.0.0.1/project.git"
    project.run("git", "remote", "add", "origin", url)
    netrc = project.path.with_name(".netrc")
    netrc.write_text(f"machine 127.0.0.1 login ann password {PASSWORD}\n", encoding="utf-8")
    netrc.chmod(0o600)


def run_everything(project: Project) -> None:
    """Run the commands, first with `evaluate.log_texts: false`, as the project was trained before.

    Afterwards, `unlogged` next to the project is a copy from before texts were logged, and the file
    `printed` there contains the output of the commands. The evaluated texts are in `PRIVATE`.
    """
    home = project.path.parent
    environment = {**IN_ENVIRONMENT, "HOME": str(home)}
    project.environment |= environment
    shutil.rmtree(project.path / ".git")
    project.run("git", "init", "--quiet")
    project.run("dvc", "add", NAME)
    project.run("dvc", "remote", "add", "--default", "folder", str(project.path / "remote"))
    project.commit()
    plant(project)
    (home / PRIVATE).parent.mkdir(parents=True)
    write_texts(home / PRIVATE, seed=9)
    columns = ("--text-column", "body", "--label-column", "stars", "--positive-label", "1")

    project.change(train={"units": 5, "epochs": 1})
    printed = [run_stages(project, **environment)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.path)
        for name, value in {**environment, "MLFLOW_TRACKING_URI": ""}.items():
            patch.setenv(name, value)
        call = Caller(patch)
        printed.append(call(compare.main, "--a", "champion"))
        with web(home / "web") as url:
            private = f"{url}/private/elsewhere.csv{SIGNATURE}"
            gone = f"{url}/private/gone.csv{SIGNATURE}"
            printed.append(call(evaluate_file.main, *columns, "--file", private))
            printed.append(call.fail(evaluate_file.main, *columns, "--file", gone))
            (home / ".netrc").unlink()
            refused = call.fail(evaluate_file.main, *columns, "--file", private)
            assert "401" in refused  # without the password
        printed += [refused, project.run("dvc", "push")]
        shutil.copytree(project.path, home / "unlogged", symlinks=True)
        project.change(evaluate={"log_texts": True})
        printed += [call(evaluate.main), project.run("dvc", "commit", "--force", "dvc.yaml")]
        printed += [call(compare.main, "--a", "champion"), project.run("dvc", "push")]
    project.run("git", "commit", "--quiet", "--message", "all", "--", "data", "dvc.lock")
    (home / "printed").write_text("\n".join(printed), encoding="utf-8")
