"""Which settings shape a data set."""

from sentiment.data.params import dataset_params
from workflow.params import Params, dataset_name, tokenizer_of


def test_a_data_set_that_texts_join_has_a_name_and_settings_of_its_own(
    default_params: Params,
) -> None:
    table = default_params.fetch.table.model_copy(update={"tokenizer": "unicode"})
    update = {"add": "s3://bucket/answers.csv", "table": table}
    joined = default_params.fetch.model_copy(update=update)
    assert joined.name == "imdb+answers.csv"
    used = dataset_params(joined)
    assert used["fetch.add"] == "answers.csv"
    assert used["fetch.table.split_seed"] == 0
    assert tokenizer_of(used) == "keras"  # IMDB's, whatever that of a table
    assert dataset_name(used) == joined.name
    of_table = joined.model_copy(update={"dataset": "table", "add": "labelled/answers/"})
    assert of_table.name == dataset_name(dataset_params(of_table)) == "example.csv+answers"


def test_where_it_came_from_does_not_shape_the_data(default_params: Params) -> None:
    used = dataset_params(default_params.fetch)
    assert set(used) == {"fetch.dataset", "fetch.archive_sha256", "fetch.word_index_sha256"}
