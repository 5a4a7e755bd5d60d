"""What the servers of these tests stand on."""

from collections.abc import Iterator

import pytest

from tests.extras.team.servers import Parts, parts


@pytest.fixture(scope="session")
def processes() -> Iterator[Parts]:
    """PostgreSQL and Swift, for all servers of a test process."""
    with parts() as standing:
        yield standing
