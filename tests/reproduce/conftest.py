"""The projects of the contract's tests, for commands that need a whole pipeline."""

from tests.contract.conftest import experiments_once, pipeline, pipeline_once

__all__ = ["experiments_once", "pipeline", "pipeline_once"]
