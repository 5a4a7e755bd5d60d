"""What the registered model of a data set is called.

That of IMDB is `imdb-sentiment`. Models of other data have others, so that champions of different
data never meet.
"""

import re

from sentiment.errors import UserError
from workflow.runs import store

ENDINGS = re.compile(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.(gz|bz2|xz))?$", re.IGNORECASE)
DATASET = "dataset"  # tag of a version


def model_name(dataset: str) -> str:
    """What the registered model of a data set is called, of a table by its file's name."""
    stem = ENDINGS.sub("", dataset)
    plain = re.sub(r"[^\w-]+", "-", stem).strip("-")
    if stem != dataset and plain in ("", "imdb", "synthetic"):  # these are other data
        plain = f"{plain}-table".strip("-")
    return f"{plain}-sentiment"


def own_name(dataset: str) -> str:
    """The same, if no other data set has that model.

    Raises:
        UserError: the model has versions, of other data sets alone; or the store cannot be used.
    """
    import mlflow

    name = model_name(dataset)
    store.connect()
    with store.as_user_error():
        versions = mlflow.MlflowClient().search_model_versions(f"name = '{name}'")
    # two may share one from before this was refused
    known = {version.tags.get(DATASET, dataset) for version in versions}
    if known and dataset not in known:
        raise UserError(
            f"{name} is the registered model of {min(known)}, and {dataset} would share it. Rename "
            f"{dataset}, for example to other-{dataset}, and put the new name into fetch.table."
        )
    return name
