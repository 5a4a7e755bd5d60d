"""Evaluations and registered versions without real models."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from sentiment.data.params import Dataset
from workflow import files, store
from workflow.about import AboutEvaluate, write_about
from workflow.outputs import TEST_DIGEST
from workflow.params import Params, PromoteParams
from workflow.registry import versions
from workflow.registry.packaging import ModelPackage, PackagedModel
from workflow.registry.versions import Registration
from workflow.tracking import Run

NAME = "imdb-sentiment"
IMDB = Dataset(dataset="imdb")


def write_evaluation(
    folder: Path,
    params: Params,
    correct: int,
    reviews: int = 20,
    test_digest: str = "abc",
    dataset: Dataset = IMDB,
) -> Path:
    """Write the folder of an evaluation with this number of correct predictions."""
    folder.mkdir(parents=True)
    predicted = np.repeat(["positive", "negative"], [correct, reviews - correct])
    columns = {"actual": "positive", "predicted": predicted, "probability": 0.95}
    predictions = pd.DataFrame({"review": range(reviews), **columns})
    # The rows of an evaluation are in another order than the reviews.
    predictions[::-1].to_csv(folder / "predictions.csv", index=False)
    files.write_json(folder / "metrics.json", {"dataset": dataset.name})
    about = AboutEvaluate(
        dataset=dataset, evaluate=params.evaluate, digests={TEST_DIGEST: test_digest}
    )
    write_about(folder, about)
    return folder


class Submitter:
    """A function that registers models, which differ in their number of correct predictions."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.evaluation: dict[str, object] = {}  # more arguments of `write_evaluation`
        self.submitted = 0

    def new_run(self) -> Run:
        client = mlflow.MlflowClient()
        experiment_id = store.connect()
        run_id = client.create_run(experiment_id).info.run_id
        return Run(run_id, "lstm", experiment_id)

    def register(
        self,
        run: Run,
        correct: int,
        promote: PromoteParams | None = None,
        threshold: float = 0.5,
    ) -> Path:
        """Register a run's model, and return the folder of its evaluation."""
        self.submitted += 1
        folder = write_evaluation(
            Path(f"submitted-{self.submitted}", "evaluate"),
            self.params,
            correct,
            **self.evaluation,  # type: ignore[arg-type]
        )
        model = folder.parent / "model"
        model.write_text(run.run_id, encoding="utf-8")
        registration = Registration(
            dataset="imdb",
            package=ModelPackage([PackagedModel(model, {})], model, threshold),
            tags={"test_accuracy": str(correct / 20)},
            profile={"words": correct},
            card=f"### Model\n\n{correct} of 20 are right",
            promote=promote or self.params.promote,
        )
        versions.register_model(run, registration, folder)
        return folder

    def __call__(self, correct: int, promote: PromoteParams | None = None) -> Run:
        """Register the model of a new run."""
        run = self.new_run()
        self.register(run, correct, promote)
        return run


def champion_run(client: mlflow.MlflowClient) -> str | None:
    version = versions.find_champion(client, NAME)
    return version.run_id if version else None


def tags_of(run: Run) -> dict[str, str]:
    return dict(versions.versions_of_run(run.run_id)[0].tags)
