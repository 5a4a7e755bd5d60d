"""Which settings shape a data set."""

from sentiment.data.dataset import settings_used
from workflow.params import Params


def test_where_it_came_from_does_not_shape_the_data(default_params: Params) -> None:
    used = settings_used(default_params.fetch)
    assert set(used) == {"fetch.dataset", "fetch.archive_sha256", "fetch.word_index_sha256"}
