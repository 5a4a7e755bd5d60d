"""`about.json`: the params behind a folder of `data/`, typed, and the SHA-256 of its files.

Each stage's `about.json` has the params of the stages before it, so that a folder explains itself.
"""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from sentiment.data.params import Dataset
from sentiment.evaluation.params import EvaluateParams
from sentiment.network.params import TrainParams
from sentiment.padding import PadParams
from sentiment.section import Section, flatten
from workflow import files

AboutT = TypeVar("AboutT", bound="About")
SectionT = TypeVar("SectionT", bound=Section)


class About(Section):
    """The digests of a folder's files, and nothing else."""

    files: dict[str, str] = Field(default_factory=dict)  # SHA-256 by name, see `write_about`

    def flat_params(self) -> dict[str, Any]:
        """Return the params by dotted name, as MLflow and pages show them."""
        return {}


class AboutFetch(About):
    """The content of `about.json` in `data/fetch`."""

    dataset: Dataset

    def flat_params(self) -> dict[str, Any]:
        return flatten(self.dataset, "fetch")


class AboutPad(AboutFetch):
    """The content of `about.json` in `data/pad`."""

    pad: PadParams

    def flat_params(self) -> dict[str, Any]:
        return super().flat_params() | flatten(self.pad, "pad")


class AboutTrain(AboutPad):
    """The content of `about.json` in `data/train`."""

    train: TrainParams

    def flat_params(self) -> dict[str, Any]:
        return super().flat_params() | flatten(self.train, "train")


class AboutEvaluate(AboutFetch):
    """The content of `about.json` in the folder of an evaluation.

    An evaluation of a single model has `pad` and `train`. An evaluation of an ensemble has `other`
    instead: its members' runs and their common params, by dotted name. `digests` has the digests of
    the evaluated model (`model.sha256`) and of the test set.
    """

    evaluate: EvaluateParams
    digests: dict[str, str]
    pad: PadParams | None = None
    train: TrainParams | None = None
    other: dict[str, str | int | float | bool] = Field(default_factory=dict)

    def flat_params(self) -> dict[str, Any]:
        return {
            **super().flat_params(),
            **(flatten(self.pad, "pad") if self.pad else {}),
            **(flatten(self.train, "train") if self.train else {}),
            **self.other,
            **flatten(self.evaluate, "evaluate"),
        }


def write_about(folder: Path, about: About) -> None:
    """Write the `about.json` of a finished folder, with the digests of all its files."""
    complete = about.model_copy(update={"files": files.digests_of(folder)})
    files.write_json(folder / files.ABOUT_FILE, complete.model_dump(exclude_none=True))


def read_about(folder: Path, kind: type[AboutT]) -> AboutT:
    """Read a folder's `about.json`.

    Raises:
        DamagedError: the file is missing or is not of this kind.
    """
    return read_section(folder / files.ABOUT_FILE, kind)


def read_section(path: Path, kind: type[SectionT]) -> SectionT:
    """Read a JSON file of a stage as typed values.

    Raises:
        DamagedError: the file is missing or is not of this kind.
    """
    try:
        return kind.model_validate(files.read_json(path))
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise files.damaged_error(path, f"{key}: {problem['msg']}") from None
