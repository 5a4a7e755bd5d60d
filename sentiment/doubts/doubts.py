"""Find the labels of a table that a cross-validated model doubts most.

Source: Northcutt et al. 2021, *Confident Learning* (labels are doubted by the probabilities of
models that were trained without them).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sentiment.errors import UserError
from sentiment.evaluation.baseline import new_vectorizer, train_logistic_regression
from sentiment.text.tokenizer import tokenize

FOLDS = 5
FOLD_SEED = 0
MAX_WORDS = 18_000_000  # of all texts; with more, their features need more than 4 GB


class Fold(NamedTuple):
    """The model of a fold, on the texts of this fold.

    Attributes:
        number: from 1.
    """

    number: int
    accuracy: float
    macro_f1: float


class Doubts(NamedTuple):
    """The labels of a table that are doubted.

    Attributes:
        rare: the labels that too few texts have. Their rows are left out.
        folds: accuracy and macro F1 of each fold.
        doubted: columns `row`, `id` if the table has it, `text`, `label`, `suggested_label` and
            `probability` (of `label`); a row for each text whose label is not the most probable
            one, the most doubtful first.
        conflicts: the same columns; a row for each text that also occurs with another label, equal
            texts one after the other.
    """

    rare: list[str]
    folds: list[Fold]
    doubted: pd.DataFrame
    conflicts: pd.DataFrame


def find_doubts(
    rows: pd.DataFrame, tokenizer: str, report: Callable[[Fold], None] = lambda _: None
) -> Doubts:
    """Find the labels that models doubt which were trained on the other folds.

    Args:
        rows: see `sentiment.data.table.read_labeled_rows`.
        tokenizer: "keras" or "unicode".
        report: is called after each fold.

    Raises:
        UserError: fewer than two labels have enough texts, or there are too many words.
    """
    words = [tokenize(text, tokenizer) for text in rows["text"]]
    count = sum(map(len, words))
    if count > MAX_WORDS:
        raise UserError(
            f"The texts have {count:,} words, and at most {MAX_WORDS:,} fit into memory. Name a "
            "table with a share of the rows."
        )
    # Equal texts, whatever their case and punctuation, are in one fold.
    text_number = pd.factorize(pd.Series(map(" ".join, words)))[0]
    different = pd.DataFrame({"label": rows["label"].array, "text": text_number})
    has_words = np.array([bool(each) for each in words], np.bool_)
    texts_by_label = different[has_words].drop_duplicates()["label"].value_counts()
    rare = sorted(set(rows["label"]) - set(texts_by_label.index[texts_by_label >= FOLDS]))
    is_kept = has_words & ~rows["label"].isin(rare).to_numpy()
    kept = rows[is_kept].reset_index(drop=True)
    text_number = text_number[is_kept]
    names = sorted(set(kept["label"]))
    if len(names) < 2:
        raise UserError(
            f"Fewer than two labels have {FOLDS} different texts, so no model can doubt them."
        )
    labels = pd.Index(names).get_indexer(pd.Index(kept["label"]))
    kept_words = [each for each, keep in zip(words, is_kept, strict=True) if keep]
    probabilities = np.zeros((len(kept), len(names)))
    folds = []
    for fold, in_fold, predicted in cross_validate(kept_words, labels, text_number):
        probabilities[in_fold] = predicted
        folds.append(fold)
        report(fold)
    table = kept.assign(
        suggested_label=np.array(names, object)[probabilities.argmax(axis=1)],
        probability=probabilities[np.arange(len(kept)), labels],
    )
    keys = [key for key in ("row", "id") if key in table]
    table = table[[*keys, "text", "label", "suggested_label", "probability"]]
    has_conflict = table.groupby(text_number)["label"].transform("nunique").to_numpy() > 1
    conflicts = table[has_conflict]
    is_doubted = ~has_conflict & (table["label"] != table["suggested_label"])
    return Doubts(
        rare,
        folds,
        table[is_doubted].sort_values("probability", kind="stable").reset_index(drop=True),
        conflicts.iloc[text_number[has_conflict].argsort(kind="stable")].reset_index(drop=True),
    )


def cross_validate(
    words: list[list[str]], labels: NDArray[np.intp], text_number: NDArray[np.intp]
) -> Iterator[tuple[Fold, NDArray[np.intp], NDArray[np.float64]]]:
    """Yield each fold, the positions of its texts, and the probabilities of their labels.

    Args:
        words: the words of each text.
        labels: the index of each text's label, shape (texts,).
        text_number: the same for equal texts, shape (texts,).

    Yields:
        The fold; shape (texts of the fold,); shape (texts of the fold, labels).
    """
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.model_selection import StratifiedGroupKFold

    label_count = int(labels.max()) + 1
    features = new_vectorizer(label_count).fit_transform(words)  # sees no labels
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=FOLD_SEED)
    splits = splitter.split(features, labels, text_number)
    for number, (others, in_fold) in enumerate(splits, 1):
        model = train_logistic_regression(features[others], labels[others])
        probabilities = np.zeros((len(in_fold), label_count))
        probabilities[:, model.classes_] = model.predict_proba(features[in_fold])
        predicted = probabilities.argmax(axis=1)
        accuracy = accuracy_score(labels[in_fold], predicted)
        macro_f1 = f1_score(labels[in_fold], predicted, average="macro", zero_division=0)
        yield Fold(number, float(accuracy), float(macro_f1)), in_fold, probabilities
