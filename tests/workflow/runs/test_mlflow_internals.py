"""What the project uses of MLflow beyond its documented interface was read in one release of it."""

from importlib.metadata import version

READ_IN = "3.17"
USES = """
- workflow/runs/store.py changes `artifact_location` in the table `experiments`, and silences the
  loggers `mlflow.store.db.utils` and `mlflow.pyfunc`; tools/ui.py links to pages of the UI.
- workflow/runs/store.py and identity.py read user and certificate by `mlflow.utils.credentials`;
  extras/team/store_history.py copies the tables of MLflow's database.
- workflow/runs/logger.py gives `mlflow.tensorflow.log_model` the step that links the curves to it,
  and logs a data set again, of which MLflow keeps one record by name and digest;
  workflow/registry/champion.py logs the model that a run uses again, of which it keeps one record.
- workflow/registry/scoring_server.py wraps `invocations` of `mlflow.pyfunc.scoring_server`, and
  takes its messages apart at "\\nError: ", "\\nInput: " and "Encountered an unexpected error".
"""


def test_mlflow_is_the_release_whose_internals_were_read() -> None:
    installed = version("mlflow").rpartition(".")[0]
    assert installed == READ_IN, (
        f"MLflow {installed} is installed, but these were read in {READ_IN}:{USES}"
        "Read them again there, run the tests of workflow/runs, workflow/registry, "
        "tools/serve.py and tools/ui.py, then change READ_IN."
    )
