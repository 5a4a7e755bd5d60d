"""`make sync`: log everything in `data/` that MLflow lacks, and print the run.

Files that `dvc pull` or `dvc checkout` brought have no run, a fresh clone has no tracking store,
and a store that failed during a training has an incomplete run. The run is found, or created from
`data/`. Called again, this changes nothing.
"""

from workflow.commands import command, json_option, print_result, run_command, stdout_to_stderr
from workflow.publish import publish


@command(__doc__)
@json_option
def main(as_json: bool) -> None:
    with stdout_to_stderr(as_json):
        run = publish()
    document = {"run_id": run.run_id, "name": run.name, "url": run.url}
    print_result(document, run.describe(), as_json)


if __name__ == "__main__":
    run_command("make sync", main)
