"""The projects of the contract's tests, for commands that need a whole pipeline."""

from tests.contract.conftest import experiments, experiments_once, pipeline, pipeline_once

__all__ = ["experiments", "experiments_once", "pipeline", "pipeline_once"]
