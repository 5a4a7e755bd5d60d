"""Stage 1: IMDB as Keras publishes it, or a synthetic set, as plain typed arrays.

Writes `data/fetch/`: `{train,test}_{tokens,offsets,labels}.npy` (see `sentiment.data.reviews`) and
`word_index.json`, each word's frequency rank.
"""

from sentiment import files, process
from sentiment.data import imdb, synthetic
from sentiment.data.reviews import write_reviews
from sentiment.params import load_params, shaping_data
from sentiment.pipeline import FETCH


def main() -> None:
    params = load_params().fetch
    if params.dataset == "imdb":
        train, test, index = imdb.load(params)
    else:
        train, test, index = synthetic.generate(params.synthetic)
    process.raise_noted()
    with files.replaced(FETCH) as folder:
        write_reviews(folder, "train", train)
        write_reviews(folder, "test", test)
        files.write_json(folder / "word_index.json", index)
        files.write_about(folder, shaping_data(params))
    print(f"{params.dataset}: {len(train):,} training and {len(test):,} test reviews")


if __name__ == "__main__":
    process.run_stage("fetch", main)
