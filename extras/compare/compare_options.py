"""The settings of `make compare`, in extras/compare/compare.yaml."""

from pathlib import Path

from pydantic import Field

from sentiment.section import SEED_LIMIT, Section
from workflow.params import load

FILE = Path("extras", "compare", "compare.yaml")


class CompareOptions(Section):
    confidence: float = Field(gt=0, lt=1)
    bootstrap_samples: int = Field(ge=100, le=1_000_000)
    bootstrap_seed: int = Field(ge=0, lt=SEED_LIMIT)
    examples: int = Field(ge=0, le=1000)


def load_options(path: Path = FILE) -> CompareOptions:
    """Read and check the file; raises UserError as `workflow.params.load` does."""
    return load(CompareOptions, path)
