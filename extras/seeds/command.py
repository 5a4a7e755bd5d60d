"""`sentiment seeds`: train the current params with several seeds."""

import click

from workflow import registry, store
from workflow.params_file import load_params


@click.command()
@click.option(
    "--count",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    help="Number of seeds in total, from train.seed in params.yaml on.",
)
def command(count: int) -> None:
    """Train with several seeds, and show mean and standard deviation of each metric.

    Each seed is a DVC experiment. A seed that was trained before is not trained again.
    """
    from extras.seeds import experiments, group

    params = load_params()
    digest = experiments.project_digest()
    experiment_id = registry.connect_experiment(params.fetch.name)
    runs = {}
    with store.store_errors(), group.group_run(experiment_id, digest, params) as parent:
        count = max(count, int(parent.data.metrics.get(group.SEEDS, 0)))
        seeds = range(params.train.seed, params.train.seed + count)
        for number, seed in enumerate(seeds, 1):
            click.echo(f"Seed {seed} ({number} of {count})")
            name = f"seeds-{digest}-{seed}"
            experiments.train(name, seed)
            run = experiments.find_seed_run(experiment_id, name, params)
            group.add_child(parent, run)
            runs[seed] = run
        summary = group.summarize([run.data.metrics for run in runs.values()])
        group.log_summary(parent, summary, params, count)
    click.echo(f"\n{group.describe_group(runs, summary)}")
    click.echo(f"\nLogged to: {store.run_url(experiment_id, parent.info.run_id)}")
