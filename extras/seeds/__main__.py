"""`make seeds N=5`: train the current params with N seeds, as one group.

Each seed is a DVC experiment of its own, so that nothing is trained twice and an interrupted
training is resumed. The parent run in MLflow has means and standard deviations. Its id names the
group in `make compare`.
"""

import click

from workflow.commands import (
    command,
    json_option,
    option,
    print_result,
    run_command,
    stdout_to_stderr,
)


@command(__doc__)
@option(
    "--count",
    envvar="N",
    type=click.IntRange(min=2),
    default=5,
    help="Train with this many seeds, from train.seed in params.yaml on.",
)
@json_option
def main(count: int, as_json: bool) -> None:
    # These import MLflow and DVC, which would delay --help by seconds.
    from extras.seeds import experiments
    from extras.seeds.group import format_group, log_group, to_json

    with stdout_to_stderr(as_json):
        group = experiments.train_group(count)
        run_id = log_group(group)
    print_result(to_json(group, run_id), f"\n{format_group(group, run_id)}", as_json)


if __name__ == "__main__":
    run_command("make seeds", main)
